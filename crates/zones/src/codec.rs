//! Bytes of on-disk formats: little-endian numbers and length-prefixed strings, decoded without
//! ever trusting a length.

/// Writes fields one after the other.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.bytes(&v.to_le_bytes())
    }
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.bytes(&v.to_le_bytes())
    }
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.bytes(&v.to_le_bytes())
    }
    pub fn bytes(&mut self, v: &[u8]) -> &mut Self {
        self.0.extend_from_slice(v);
        self
    }
    /// A 16-bit length and the bytes.
    ///
    /// # Panics
    /// Above 65,535 bytes.
    pub fn short(&mut self, v: &[u8]) -> &mut Self {
        self.u16(u16::try_from(v.len()).expect("a short field"))
            .bytes(v)
    }
    /// A 32-bit length and the bytes.
    ///
    /// # Panics
    /// Above 4 GiB.
    pub fn long(&mut self, v: &[u8]) -> &mut Self {
        self.u32(u32::try_from(v.len()).expect("a field below 4 GiB"))
            .bytes(v)
    }
}

/// Bytes ended before the field, or a field has a value no writer gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("bytes do not decode")]
pub struct DecodeError;

/// Reads fields one after the other.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
    /// # Errors
    /// When fewer than `n` bytes are left.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError)?;
        self.0 = tail;
        Ok(head)
    }
    /// # Errors
    /// When the bytes ended.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bytes(N)?.try_into().map_err(|_| DecodeError)
    }
    /// # Errors
    /// When the bytes ended.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }
    /// # Errors
    /// When the bytes ended.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }
    /// # Errors
    /// When the bytes ended.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }
    /// # Errors
    /// When the bytes ended.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }
    /// # Errors
    /// When the bytes ended.
    pub fn short(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u16()?;
        self.bytes(usize::from(n))
    }
    /// # Errors
    /// When the bytes ended.
    pub fn long(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = usize::try_from(self.u32()?).map_err(|_| DecodeError)?;
        self.bytes(n)
    }
}
