//! How fast does this processor encode and decode? One core, stripes of 1 MiB of data.
//!
//! `cargo run --release -p strongroom-erasure --example speed`

use std::hint::black_box;
use std::time::Instant;

use strongroom_erasure::Codec;

const STRIPE_SIZE_BYTES: usize = 1024 * 1024;
const ROUNDS: usize = 2_000;

fn main() {
    for (k, m) in [(1, 1), (2, 1), (3, 3), (4, 2), (7, 5), (8, 4)] {
        let codec = Codec::new(k, m).expect("a code within bounds");
        let size = STRIPE_SIZE_BYTES / k;
        let data: Vec<Vec<u8>> = (0..k).map(|j| vec![j as u8 + 1; size]).collect();
        let mut parity = vec![vec![0; size]; m];
        let encode = gigabytes_per_second(size * k, || {
            codec
                .encode(black_box(&data), black_box(&mut parity))
                .expect("encode");
        });
        let lost = m.min(k);
        let shards = data.iter().chain(&parity).enumerate();
        let present: Vec<Option<&[u8]>> = shards
            .map(|(index, shard)| (index >= lost).then_some(shard.as_slice()))
            .collect();
        let mut rebuilt = vec![vec![0; size]; lost];
        let decode = gigabytes_per_second(size * k, || {
            let buffers = rebuilt.iter_mut().map(Vec::as_mut_slice);
            let mut wanted: Vec<(usize, &mut [u8])> = buffers.enumerate().collect();
            codec
                .rebuild(black_box(&present), black_box(&mut wanted))
                .expect("rebuild");
        });
        println!("{k}+{m}: encode {encode:5.1} GB/s, decode with {lost} lost {decode:5.1} GB/s");
    }
}

#[allow(clippy::disallowed_methods)]
fn gigabytes_per_second(bytes: usize, mut round: impl FnMut()) -> f64 {
    (0..ROUNDS / 10).for_each(|_| round());
    let started = Instant::now();
    (0..ROUNDS).for_each(|_| round());
    (bytes * ROUNDS) as f64 / started.elapsed().as_secs_f64() / 1e9
}
