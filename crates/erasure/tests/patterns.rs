//! T7: every erasure pattern of every shipped code, and the codec against one written from the
//! definition of the field with none of its tables, kernels or shortcuts.

use strongroom_erasure::{Codec, DATA_COUNT_MAX, Error, PARITY_COUNT_MAX};

const CODES: [(usize, usize); 12] = [
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 1),
    (2, 2),
    (3, 3),
    (4, 2),
    (4, 4),
    (5, 4),
    (6, 4),
    (7, 5),
    (8, 4),
];
/// Around vector widths, pieces and blocks.
const SIZES: [usize; 12] = [0, 1, 2, 7, 15, 16, 31, 33, 63, 255, 1000, 4097];

/// The field and the matrix, from their definitions.
mod slow {
    pub fn multiply(a: u8, b: u8) -> u8 {
        let (mut a, mut b, mut product) = (a, b, 0);
        while b > 0 {
            if b & 1 == 1 {
                product ^= a;
            }
            let carry = a & 0x80 != 0;
            a <<= 1;
            if carry {
                a ^= 0x1D;
            }
            b >>= 1;
        }
        product
    }

    fn invert(a: u8) -> u8 {
        (1..=255)
            .find(|b| multiply(a, *b) == 1)
            .expect("every element but zero has an inverse")
    }

    /// Cauchy with xs 32, 33, … and ys 0, 1, …, first row and column scaled to ones.
    pub fn coefficient(i: usize, j: usize) -> u8 {
        let cauchy = |i: usize, j: usize| invert(u8::try_from((32 + i) ^ j).unwrap());
        let above = multiply(cauchy(i, j), cauchy(0, 0));
        multiply(above, invert(multiply(cauchy(i, 0), cauchy(0, j))))
    }

    pub fn encode(data: &[Vec<u8>], parity_count: usize) -> Vec<Vec<u8>> {
        (0..parity_count).map(|i| parity(data, i)).collect()
    }

    fn parity(data: &[Vec<u8>], i: usize) -> Vec<u8> {
        let mut parity = vec![0; data[0].len()];
        for (j, shard) in data.iter().enumerate() {
            let coefficient = coefficient(i, j);
            for (sum, byte) in parity.iter_mut().zip(shard) {
                *sum ^= multiply(coefficient, *byte);
            }
        }
        parity
    }
}

fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

fn stripe(codec: Codec, size: usize) -> Vec<Vec<u8>> {
    let mut shards: Vec<Vec<u8>> = (0..codec.data_count())
        .map(|j| content((size * 64 + j) as u64 + 1, size))
        .collect();
    let mut parity = vec![vec![0xEE; size]; codec.parity_count()];
    codec.encode(&shards, &mut parity).unwrap();
    shards.append(&mut parity);
    shards
}

fn without(shards: &[Vec<u8>], lost: u32) -> Vec<Option<Vec<u8>>> {
    let kept = |index: usize| lost >> index & 1 == 0;
    shards
        .iter()
        .enumerate()
        .map(|(index, shard)| kept(index).then(|| shard.clone()))
        .collect()
}

#[test]
fn every_erasure_pattern_up_to_m_lost_is_rebuilt_for_every_shipped_code() {
    let (mut patterns, mut mismatches) = (0u64, 0u64);
    for (k, m) in CODES {
        let codec = Codec::new(k, m).unwrap();
        for size in SIZES {
            let shards = stripe(codec, size);
            for lost in (0u32..1 << (k + m)).filter(|lost| lost.count_ones() as usize <= m) {
                let mut all = without(&shards, lost);
                codec.reconstruct(&mut all).unwrap();
                let whole: Option<Vec<Vec<u8>>> = all.into_iter().collect();
                let mut data = without(&shards, lost);
                codec.reconstruct_data(&mut data).unwrap();
                let content: Option<Vec<Vec<u8>>> = data[..k].iter().cloned().collect();
                let parity_kept = data[k..] == without(&shards, lost)[k..];
                let is_right = whole.as_ref() == Some(&shards)
                    && content.as_deref() == Some(&shards[..k])
                    && parity_kept;
                mismatches += u64::from(!is_right);
                patterns += 1;
            }
        }
    }
    println!(
        "T7: codes {}, patterns {patterns}, mismatches {mismatches}",
        CODES.len()
    );
    assert_eq!(mismatches, 0);
    assert_eq!(patterns, expected_patterns(), "every pattern was tried");
    println!(
        r#"RELIABILITY {{"proof": "T7 every pattern of lost shards", "unit": "patterns", "trials": {patterns}, "bad": {mismatches}}}"#
    );
}

/// Counted from binomial coefficients rather than by the loop.
fn expected_patterns() -> u64 {
    let choose = |n: u64, r: u64| (0..r).fold(1, |product, i| product * (n - i) / (i + 1));
    let of_code = |(k, m): &(usize, usize)| {
        let (k, m) = (*k as u64, *m as u64);
        (0..=m).map(|lost| choose(k + m, lost)).sum::<u64>()
    };
    CODES.iter().map(of_code).sum::<u64>() * SIZES.len() as u64
}

#[test]
fn one_lost_shard_more_than_m_is_refused_and_nothing_is_filled_in() {
    for (k, m) in CODES {
        let codec = Codec::new(k, m).unwrap();
        let shards = stripe(codec, 33);
        let over = |lost: &u32| lost.count_ones() as usize == m + 1;
        for lost in (0u32..1 << (k + m)).filter(over) {
            let mut left = without(&shards, lost);
            let error = codec.reconstruct(&mut left).unwrap_err();
            assert_eq!(
                error,
                Error::TooFewShards {
                    present: k - 1,
                    needed: k
                }
            );
            assert_eq!(left, without(&shards, lost));
        }
    }
}

#[test]
fn parity_agrees_with_the_slow_codec_for_every_code_there_can_be() {
    let (mut compared, mut mismatches) = (0u64, 0u64);
    for k in 1..=DATA_COUNT_MAX {
        let data: Vec<Vec<u8>> = (0..k).map(|j| content((k * 32 + j) as u64, 37)).collect();
        let expected = slow::encode(&data, PARITY_COUNT_MAX);
        for m in 0..=PARITY_COUNT_MAX {
            let mut parity = vec![vec![0; 37]; m];
            Codec::new(k, m)
                .unwrap()
                .encode(&data, &mut parity)
                .unwrap();
            mismatches += u64::from(parity != expected[..m]);
            compared += 1;
        }
    }
    println!(
        "T7: parity of {compared} codes compared with the slow codec, mismatches {mismatches}"
    );
    assert_eq!(mismatches, 0);
}

#[test]
fn parity_agrees_with_the_slow_codec_for_sizes_that_cross_pieces() {
    for (k, m) in CODES {
        for size in [16_383, 16_385, 70_001] {
            let shards = stripe(Codec::new(k, m).unwrap(), size);
            assert!(
                shards[k..] == slow::encode(&shards[..k], m),
                "{k}+{m}, {size} bytes"
            );
        }
    }
}

#[test]
fn widest_code_rebuilds_with_its_last_shards_or_its_first_ones_lost() {
    let codec = Codec::new(DATA_COUNT_MAX, PARITY_COUNT_MAX).unwrap();
    let shards = stripe(codec, 100);
    for first in 0..=DATA_COUNT_MAX {
        let mut left: Vec<Option<Vec<u8>>> = shards.iter().cloned().map(Some).collect();
        left[first..first + PARITY_COUNT_MAX].fill(None);
        codec.reconstruct(&mut left).unwrap();
        assert!(
            left.iter()
                .zip(&shards)
                .all(|(left, shard)| left.as_ref() == Some(shard))
        );
    }
}

#[test]
fn every_flipped_byte_in_a_data_shard_changes_every_parity() {
    for (k, m) in CODES {
        let codec = Codec::new(k, m).unwrap();
        let shards = stripe(codec, 48);
        for (shard, at) in (0..k).flat_map(|shard| (0..48).map(move |at| (shard, at))) {
            let mut data = shards[..k].to_vec();
            data[shard][at] ^= 1 << (at % 8);
            let mut parity = vec![vec![0; 48]; m];
            codec.encode(&data, &mut parity).unwrap();
            for (changed, parity) in parity.iter().zip(&shards[k..]) {
                assert!(
                    changed[at] != parity[at],
                    "{k}+{m}, shard {shard}, byte {at}"
                );
            }
        }
    }
}

#[test]
fn first_parity_is_the_xor_of_the_data_and_one_data_shard_gives_replicas() {
    let shards = stripe(Codec::new(7, 5).unwrap(), 77);
    let xor = |at: usize| shards[..7].iter().fold(0, |sum, shard| sum ^ shard[at]);
    assert_eq!(shards[7], (0..77).map(xor).collect::<Vec<u8>>());
    let replicas = stripe(Codec::new(1, 2).unwrap(), 77);
    assert_eq!(replicas[0], replicas[1]);
    assert_eq!(replicas[0], replicas[2]);
}

#[test]
fn rebuild_computes_only_what_is_wanted_and_into_the_given_buffers() {
    let codec = Codec::new(4, 2).unwrap();
    let shards = stripe(codec, 500);
    let present: Vec<Option<&[u8]>> = shards
        .iter()
        .enumerate()
        .map(|(index, shard)| (index != 1 && index != 5).then_some(shard.as_slice()))
        .collect();
    let (mut data, mut parity) = (vec![9; 500], vec![9; 500]);
    codec
        .rebuild(&present, &mut [(5, &mut parity), (1, &mut data)])
        .unwrap();
    assert_eq!(data, shards[1]);
    assert_eq!(parity, shards[5]);
    codec.rebuild(&present, &mut []).unwrap();
}

#[test]
fn wrong_counts_and_sizes_are_refused() {
    assert!(matches!(Codec::new(0, 1), Err(Error::Counts { .. })));
    assert!(matches!(Codec::new(33, 0), Err(Error::Counts { .. })));
    assert!(matches!(Codec::new(1, 17), Err(Error::Counts { .. })));
    let codec = Codec::new(2, 1).unwrap();
    let mut parity = [[0u8; 4]];
    let few = codec.encode(&[[0u8; 4]], &mut parity);
    assert_eq!(
        few,
        Err(Error::ShardCount {
            given: 1,
            expected: 2
        })
    );
    let none = codec.encode(&[[0u8; 4]; 2], &mut [[0u8; 4]; 0]);
    assert_eq!(
        none,
        Err(Error::ShardCount {
            given: 0,
            expected: 1
        })
    );
    let uneven = codec.encode(&[&[0u8; 4][..], &[0u8; 3][..]], &mut parity);
    assert_eq!(
        uneven,
        Err(Error::ShardSize {
            given: 3,
            expected: 4
        })
    );
    let short = codec.encode(&[[0u8; 5]; 2], &mut parity);
    assert_eq!(
        short,
        Err(Error::ShardSize {
            given: 4,
            expected: 5
        })
    );
    let mut left = vec![Some(vec![0; 4]), None, Some(vec![0; 5])];
    let uneven = codec.reconstruct(&mut left);
    assert_eq!(
        uneven,
        Err(Error::ShardSize {
            given: 5,
            expected: 4
        })
    );
    let present = [Some(&[0u8; 4][..]); 3];
    let beyond = codec.rebuild(&present, &mut [(3, &mut parity[0])]);
    assert_eq!(
        beyond,
        Err(Error::ShardCount {
            given: 4,
            expected: 3
        })
    );
}
