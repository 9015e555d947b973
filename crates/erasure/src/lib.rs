//! The erasure codec: k data shards in, m parity shards out, and back from any k of them.
//!
//! A zone or a disk takes its shards with it when it goes. The codec makes the others enough: any k
//! of the k+m shards of a stripe give back all of them. It is a function of bytes, does no I/O and
//! holds no state but the counts of its code; which shards are where, and whether their bytes are
//! the right ones, is for others to know. A shard with a flipped bit is not noticed here.
//!
//! Invariants
//! - The code is systematic: data shards are the content, unchanged.
//! - The coefficients (`matrix`) are part of the stored format.
//! - With m = 0 there is no parity; the first parity is the XOR of the data; with k = 1 every shard
//!   is a replica.

use thiserror::Error;

mod galois;
mod matrix;

/// Most data shards of a code. Wider stripes make a read of a lost shard fetch more shards than
/// the saved space is worth.
pub const DATA_COUNT_MAX: usize = 32;
/// Most parity shards of a code: more zones and disks lost at once than any placement plans for.
pub const PARITY_COUNT_MAX: usize = 16;

/// Bytes of each shard coded at a time, so that one piece of every shard stays in the processor's
/// second cache while all parities are computed from it.
const PIECE_SIZE_BYTES: usize = 16 * 1024;

/// Why shards could not be coded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// The counts of the code are out of bounds.
    #[error("code {data_count}+{parity_count} is not within 1..=32 + 0..=16")]
    Counts {
        data_count: usize,
        parity_count: usize,
    },
    /// Another number of shards was handed in than the code has.
    #[error("{given} shards for a code that has {expected}")]
    ShardCount { given: usize, expected: usize },
    /// Shards of one stripe differ in length.
    #[error("shard of {given} bytes in a stripe of shards of {expected}")]
    ShardSize { given: usize, expected: usize },
    /// Fewer shards are present than there is data.
    #[error("{present} shards present, {needed} needed")]
    TooFewShards { present: usize, needed: usize },
    /// The processor's vector code gives other results than plain arithmetic.
    #[error("vector arithmetic of this processor is wrong")]
    Kernel,
}

/// Result of the codec.
pub type Result<T> = std::result::Result<T, Error>;

/// One code, k+m. Cheap to make and to clone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codec {
    data_count: usize,
    parity_count: usize,
}

impl Codec {
    /// The code with `data_count` (k) data and `parity_count` (m) parity shards.
    ///
    /// # Errors
    /// `Counts` when k is not in `1..=32` or m not in `0..=16`.
    pub fn new(data_count: usize, parity_count: usize) -> Result<Self> {
        if !(1..=DATA_COUNT_MAX).contains(&data_count) || parity_count > PARITY_COUNT_MAX {
            return Err(Error::Counts {
                data_count,
                parity_count,
            });
        }
        if !galois::is_kernel_right() {
            return Err(Error::Kernel);
        }
        Ok(Self {
            data_count,
            parity_count,
        })
    }

    /// k: shards that hold content, and how many shards decode.
    #[must_use]
    pub const fn data_count(&self) -> usize {
        self.data_count
    }

    /// m: how many shards may be lost.
    #[must_use]
    pub const fn parity_count(&self) -> usize {
        self.parity_count
    }

    /// k + m. Shards are numbered data first.
    #[must_use]
    pub const fn shard_count(&self) -> usize {
        self.data_count + self.parity_count
    }

    /// Computes all parity shards; what `parity` held is overwritten.
    ///
    /// ```
    /// let codec = strongroom_erasure::Codec::new(2, 1)?;
    /// let mut parity = [[0u8; 4]];
    /// codec.encode(&[b"left", b"wing"], &mut parity)?;
    /// let mut lost = [0u8; 4];
    /// codec.rebuild(&[None, Some(b"wing"), Some(&parity[0])], &mut [(0, &mut lost)])?;
    /// assert_eq!(&lost, b"left");
    /// # Ok::<(), strongroom_erasure::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ShardCount`, `ShardSize`.
    pub fn encode<D: AsRef<[u8]>, P: AsMut<[u8]>>(
        &self,
        data: &[D],
        parity: &mut [P],
    ) -> Result<()> {
        check_count(data.len(), self.data_count)?;
        check_count(parity.len(), self.parity_count)?;
        let inputs: Vec<&[u8]> = data.iter().map(AsRef::as_ref).collect();
        let mut outputs: Vec<Output<'_>> = matrix::PARITY
            .iter()
            .map(|row| &row[..self.data_count])
            .zip(parity.iter_mut().map(AsMut::as_mut))
            .collect();
        combine(&inputs, &mut outputs)
    }

    /// Computes the shards named in `wanted`, data and parity alike, from any k of those present.
    /// `present` has one entry per shard of the code; what the wanted buffers held is overwritten.
    ///
    /// # Errors
    /// `ShardCount` (also for a wanted index beyond the code), `ShardSize`, `TooFewShards`.
    pub fn rebuild(
        &self,
        present: &[Option<&[u8]>],
        wanted: &mut [(usize, &mut [u8])],
    ) -> Result<()> {
        check_count(present.len(), self.shard_count())?;
        let shards = present.iter().enumerate();
        let (indices, inputs): (Vec<usize>, Vec<&[u8]>) = shards
            .filter_map(|(index, shard)| Some((index, (*shard)?)))
            .unzip();
        if inputs.len() < self.data_count {
            return Err(Error::TooFewShards {
                present: inputs.len(),
                needed: self.data_count,
            });
        }
        check_sizes(&inputs)?;
        if let Some((index, _)) = wanted
            .iter()
            .find(|(index, _)| *index >= self.shard_count())
        {
            return Err(Error::ShardCount {
                given: index + 1,
                expected: self.shard_count(),
            });
        }
        let rows = self.decode_rows(&indices[..self.data_count], wanted);
        let buffers = wanted.iter_mut().map(|(_, shard)| &mut **shard);
        let mut outputs: Vec<Output<'_>> = rows.iter().map(Vec::as_slice).zip(buffers).collect();
        combine(&inputs[..self.data_count], &mut outputs)
    }

    /// Fills in every shard that is `None`.
    ///
    /// # Errors
    /// `ShardCount`, `ShardSize`, `TooFewShards`; nothing is filled in then.
    pub fn reconstruct(&self, shards: &mut [Option<Vec<u8>>]) -> Result<()> {
        self.fill(shards, self.shard_count())
    }

    /// Fills in every data shard that is `None`, and leaves parity as it is.
    ///
    /// # Errors
    /// As [`Codec::reconstruct`].
    pub fn reconstruct_data(&self, shards: &mut [Option<Vec<u8>>]) -> Result<()> {
        self.fill(shards, self.data_count)
    }

    /// Fills in the missing ones of the first `count` shards.
    fn fill(&self, shards: &mut [Option<Vec<u8>>], count: usize) -> Result<()> {
        check_count(shards.len(), self.shard_count())?;
        let size = shards.iter().flatten().next().map_or(0, Vec::len);
        let missing = (0..count).filter(|index| shards[*index].is_none());
        let mut filled: Vec<(usize, Vec<u8>)> =
            missing.map(|index| (index, vec![0; size])).collect();
        let present: Vec<Option<&[u8]>> = shards.iter().map(Option::as_deref).collect();
        let mut wanted: Vec<(usize, &mut [u8])> = filled
            .iter_mut()
            .map(|(index, shard)| (*index, shard.as_mut_slice()))
            .collect();
        self.rebuild(&present, &mut wanted)?;
        for (index, shard) in filled {
            shards[index] = Some(shard);
        }
        Ok(())
    }

    /// For each wanted shard, its coefficients over the k shards at `indices`.
    fn decode_rows(&self, indices: &[usize], wanted: &[(usize, &mut [u8])]) -> Vec<Vec<u8>> {
        let row = |index| matrix::generator_row(index, self.data_count);
        let decode = matrix::inverse(indices.iter().map(|index| row(*index)).collect())
            .expect("any k rows of the generator can be inverted");
        wanted
            .iter()
            .map(|(index, _)| matrix::row_times(&row(*index), &decode))
            .collect()
    }
}

/// A shard to compute, with its coefficients over the inputs.
type Output<'a> = (&'a [u8], &'a mut [u8]);

/// Computes each output as the sum of the inputs times its coefficients.
fn combine(inputs: &[&[u8]], outputs: &mut [Output<'_>]) -> Result<()> {
    check_sizes(inputs)?;
    let size = inputs[0].len();
    for (_, output) in outputs.iter() {
        check_size(output.len(), size)?;
    }
    for start in (0..size).step_by(PIECE_SIZE_BYTES) {
        let piece = start..size.min(start + PIECE_SIZE_BYTES);
        for (index, input) in inputs.iter().enumerate() {
            for (coefficients, output) in outputs.iter_mut() {
                galois::multiply_slice(
                    coefficients[index],
                    &input[piece.clone()],
                    &mut output[piece.clone()],
                    index > 0,
                );
            }
        }
    }
    Ok(())
}

fn check_count(given: usize, expected: usize) -> Result<()> {
    if given == expected {
        Ok(())
    } else {
        Err(Error::ShardCount { given, expected })
    }
}

fn check_size(given: usize, expected: usize) -> Result<()> {
    if given == expected {
        Ok(())
    } else {
        Err(Error::ShardSize { given, expected })
    }
}

fn check_sizes(shards: &[&[u8]]) -> Result<()> {
    let expected = shards.first().map_or(0, |shard| shard.len());
    shards
        .iter()
        .try_for_each(|shard| check_size(shard.len(), expected))
}
