//! The matrix that defines every code. It is part of the stored format and never changes.
//!
//! Parity shard `i` is the sum over data shards `j` of `PARITY[i][j] * data[j]`. One table serves
//! all codes: k+m uses its first m rows and k columns. It is a Cauchy matrix, of which every square
//! part can be inverted (so any k shards decode), scaled so that its first row and first column
//! are ones: scaling keeps that property, makes the first parity the plain XOR of the data, and
//! makes every parity of a 1+m code a replica.

use crate::galois::{invert, multiply};
use crate::{DATA_COUNT_MAX, PARITY_COUNT_MAX};

/// Coefficients by parity index, then data index.
pub(crate) const PARITY: [[u8; DATA_COUNT_MAX]; PARITY_COUNT_MAX] = parity();

const fn parity() -> [[u8; DATA_COUNT_MAX]; PARITY_COUNT_MAX] {
    let mut rows = [[0; DATA_COUNT_MAX]; PARITY_COUNT_MAX];
    let mut i = 0;
    while i < PARITY_COUNT_MAX {
        let mut j = 0;
        while j < DATA_COUNT_MAX {
            // c(i,j) * c(0,0) / (c(i,0) * c(0,j)), where c is the Cauchy matrix.
            let scale = multiply(invert(cauchy(i, 0)), invert(cauchy(0, j)));
            rows[i][j] = multiply(multiply(cauchy(i, j), cauchy(0, 0)), scale);
            j += 1;
        }
        i += 1;
    }
    rows
}

/// `1 / (x + y)` for the `i`-th x and the `j`-th y, all of which differ: data indices are the ys,
/// and the xs follow them.
const fn cauchy(i: usize, j: usize) -> u8 {
    const {
        assert!(
            DATA_COUNT_MAX + PARITY_COUNT_MAX <= 256,
            "elements must differ"
        )
    };
    invert((DATA_COUNT_MAX + i) as u8 ^ j as u8)
}

/// The coefficients of shard `index` of a code with `data_count` data shards: its value is their
/// sum over the data shards.
pub(crate) fn generator_row(index: usize, data_count: usize) -> Vec<u8> {
    match index.checked_sub(data_count) {
        Some(parity_index) => PARITY[parity_index][..data_count].to_vec(),
        None => (0..data_count).map(|j| u8::from(j == index)).collect(),
    }
}

/// A square matrix by rows.
pub(crate) type Square = Vec<Vec<u8>>;

/// The inverse by Gauss-Jordan elimination, `None` when there is none.
pub(crate) fn inverse(mut matrix: Square) -> Option<Square> {
    let size = matrix.len();
    let mut result: Square = (0..size).map(|index| generator_row(index, size)).collect();
    for column in 0..size {
        let pivot = (column..size).find(|row| matrix[*row][column] != 0)?;
        matrix.swap(column, pivot);
        result.swap(column, pivot);
        let scale = invert(matrix[column][column]);
        scale_row(&mut matrix[column], scale);
        scale_row(&mut result[column], scale);
        for row in 0..size {
            let factor = matrix[row][column];
            if row != column && factor != 0 {
                add_row(&mut matrix, column, row, factor);
                add_row(&mut result, column, row, factor);
            }
        }
    }
    Some(result)
}

fn scale_row(row: &mut [u8], scale: u8) {
    for value in row {
        *value = multiply(*value, scale);
    }
}

/// Adds `factor` times row `from` to row `to`.
fn add_row(matrix: &mut Square, from: usize, to: usize, factor: u8) {
    let source = std::mem::take(&mut matrix[from]);
    for (value, source) in matrix[to].iter_mut().zip(&source) {
        *value ^= multiply(*source, factor);
    }
    matrix[from] = source;
}

/// `row * matrix`.
pub(crate) fn row_times(row: &[u8], matrix: &Square) -> Vec<u8> {
    let mut product = vec![0; row.len()];
    for (factor, source) in row.iter().zip(matrix) {
        for (value, source) in product.iter_mut().zip(source) {
            *value ^= multiply(*factor, *source);
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_row_and_first_column_are_ones_and_nothing_is_zero() {
        assert!(PARITY[0].iter().all(|value| *value == 1));
        assert!(PARITY.iter().all(|row| row[0] == 1));
        assert!(PARITY.iter().flatten().all(|value| *value != 0));
    }

    /// The format: a change of any of these makes every stored parity shard wrong.
    #[test]
    fn coefficients_are_the_ones_stored_shards_were_made_with() {
        assert_eq!(PARITY[1][..8], ROW_1);
        assert_eq!(PARITY[4][..7], ROW_4);
        let mut hash = 0xCBF2_9CE4_8422_2325u64;
        for value in PARITY.iter().flatten() {
            hash = (hash ^ u64::from(*value)).wrapping_mul(0x0100_0000_01B3);
        }
        assert_eq!(hash, TABLE_HASH, "FNV-1a of the table is {hash:#x}");
    }

    const ROW_1: [u8; 8] = [1, 232, 220, 240, 194, 14, 124, 170];
    const ROW_4: [u8; 7] = [1, 194, 10, 251, 55, 199, 218];
    const TABLE_HASH: u64 = 0x0A1E_0B69_D2D1_CC55;

    #[test]
    fn inverse_times_matrix_is_one_and_a_singular_matrix_has_none() {
        let matrix: Square = (0..5).map(|i| PARITY[i][3..8].to_vec()).collect();
        let inverted = inverse(matrix.clone()).unwrap();
        for (index, row) in inverted.iter().enumerate() {
            assert_eq!(row_times(row, &matrix), generator_row(index, 5));
        }
        assert_eq!(inverse(vec![vec![1, 2], vec![1, 2]]), None);
    }
}
