//! The field GF(256) with polynomial 0x11D: one byte at a time here, whole shards by the kernel.
//!
//! Arithmetic on the matrix is a few hundred bytes and is written out plainly. Shards are
//! megabytes and need the processor's vector units, which `unsafe` code reaches: that is left to
//! `fec-rs`, whose kernels pick GFNI, AVX2, SSSE3 or plain code when the program runs. The usual
//! choice, `reed-solomon-erasure` with `simd-accel`, compiles its C for one fixed processor family
//! (`-march=haswell`) and stops with an illegal instruction on any older one; without that feature
//! it is about ten times slower. Only the two slice kernels of `fec-rs` are used: they hold no
//! format, so they can be replaced without touching a stored byte. One core with GFNI encodes 50
//! GB/s at 2+1, 20 at 3+3 and 13 at 7+5 (`--example speed`): coding is not the bottleneck.
//!
//! Invariant
//! - The kernel the processor picked is compared with the plain arithmetic, for every coefficient,
//!   before the first shard is coded: a kernel that is wrong on this processor stops the start.

use std::sync::OnceLock;

use fec_rs::galois as kernel;

/// x^8 + x^4 + x^3 + x^2 + 1, for which 2 generates every element but zero.
const POLYNOMIAL: u16 = 0x11D;
const TABLES: ([u8; 256], [u8; 255]) = tables();
const LOG: [u8; 256] = TABLES.0;
const EXP: [u8; 255] = TABLES.1;

const fn tables() -> ([u8; 256], [u8; 255]) {
    let mut log = [0u8; 256];
    let mut exp = [0u8; 255];
    let mut power = 1u16;
    let mut exponent = 0u8;
    while exponent < 255 {
        exp[exponent as usize] = power as u8;
        log[power as usize] = exponent;
        power <<= 1;
        if power > 0xFF {
            power ^= POLYNOMIAL;
        }
        exponent += 1;
    }
    (log, exp)
}

/// `a * b`.
pub(crate) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[(LOG[a as usize] as usize + LOG[b as usize] as usize) % 255]
}

/// `1 / a`.
pub(crate) const fn invert(a: u8) -> u8 {
    assert!(a != 0, "zero has no inverse");
    EXP[(255 - LOG[a as usize] as usize) % 255]
}

/// `out = coefficient * input`, or `out += coefficient * input` when `accumulate`.
pub(crate) fn multiply_slice(coefficient: u8, input: &[u8], out: &mut [u8], accumulate: bool) {
    if accumulate {
        kernel::mul_slice_xor(coefficient, input, out);
    } else {
        kernel::mul_slice(coefficient, input, out);
    }
}

/// Whether the kernel of this processor agrees with [`multiply`]. Computed once per process.
pub(crate) fn is_kernel_right() -> bool {
    static RIGHT: OnceLock<bool> = OnceLock::new();
    *RIGHT.get_or_init(|| (0..=255).all(is_kernel_right_for))
}

/// Checks one coefficient on every byte value, with a length that leaves a rest in any vector.
fn is_kernel_right_for(coefficient: u8) -> bool {
    let input: Vec<u8> = (0..=255).chain(0..=30).collect();
    let mut product = vec![0xA5; input.len()];
    multiply_slice(coefficient, &input, &mut product, false);
    let mut sum = vec![0x5A; input.len()];
    multiply_slice(coefficient, &input, &mut sum, true);
    input
        .iter()
        .zip(product.iter().zip(&sum))
        .all(|(byte, (product, sum))| {
            let expected = multiply(coefficient, *byte);
            *product == expected && *sum == expected ^ 0x5A
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication by shifts, without tables.
    fn multiply_slowly(a: u8, b: u8) -> u8 {
        let mut product = 0u16;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product >> bit & 1 == 1 {
                product ^= POLYNOMIAL << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn multiplication_agrees_with_shifts_for_every_pair() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), multiply_slowly(a, b), "{a} * {b}");
            }
        }
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "1 / {a}");
        }
    }

    #[test]
    fn kernel_of_this_processor_agrees_with_the_plain_arithmetic() {
        assert!(is_kernel_right());
    }
}
