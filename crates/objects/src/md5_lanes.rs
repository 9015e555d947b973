//! MD5 of many streams at once.
//!
//! MD5 is one chain of additions: a processor core computes one at 0.6 GB/s, whatever else it could
//! do meanwhile, and eight or sixteen at several times that when they go side by side in the lanes of
//! its vector registers (`docs/performance.md`). Uploads therefore hand their chunks to a common
//! *hasher* and go on; it takes, round by round, what is there of all of them.
//!
//! Invariants
//! - A stream waits for no other: a round is what is there now, of one stream if there is one.
//! - A stream has at most [`PENDING_SIZE_BYTES_MAX`] and one chunk unhashed: then its upload waits. Small
//!   chunks are gathered, so that what is kept beside the bytes stays small too.
//! - At most one thread hashes, and none when there is nothing to hash. Should it panic, the streams it
//!   had or was to have fail, and those that come later get another.
//! - A processor on which lanes and single stream disagree hashes one stream at a time.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use md5_many::{Md5Many, Md5State};
use strongroom_base::tasks;

use crate::error::{Error, Result};

/// Bytes of one stream that may wait for the hasher.
pub const PENDING_SIZE_BYTES_MAX: usize = 1024 * 1024;
/// Most streams in one round: three chains of the widest vectors there are.
const LANES_MAX: usize = 48;
/// Most bytes of a stream in one round, so that who comes late waits for microseconds.
const ROUND_SIZE_BYTES_MAX: usize = 64 * 1024;
/// What MD5 takes at a time.
const BLOCK_SIZE_BYTES: usize = 64;
/// A chunk with less than this goes alone: lanes that end so early cost the others more.
const SHARED_SIZE_BYTES_MIN: usize = 4096;
/// From as many streams on lanes are faster than one stream after the other: a round of 32 lanes
/// takes as long as two streams, however few of the lanes are used.
const SHARED_COUNT_MIN: usize = 3;

/// What the processor computes at once, and whether it does so rightly: found out once.
static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

/// The MD5 of one stream in the making.
pub struct Md5Lane {
    lane: Arc<Mutex<Lane>>,
    hasher: Arc<Hasher>,
}

#[derive(Default)]
struct Lane {
    md5: Md5State,
    chunks: VecDeque<Bytes>,
    /// What came last in small chunks, behind the others.
    small: BytesMut,
    pending: usize,
    /// The hasher has it, or will come to it.
    is_listed: bool,
    /// The hasher panicked over it: what was hashed is not known.
    has_failed: bool,
    waker: Option<Waker>,
}

impl Lane {
    fn push(&mut self, bytes: Bytes) {
        self.pending += bytes.len();
        if bytes.len() < SHARED_SIZE_BYTES_MIN {
            self.small.extend_from_slice(&bytes);
            if self.small.len() >= ROUND_SIZE_BYTES_MAX {
                self.close_small();
            }
        } else {
            self.close_small();
            self.chunks.push_back(bytes);
        }
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            let gathered = self.small.split().freeze();
            self.chunks.push_back(gathered);
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.close_small();
        }
        self.chunks.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.small.is_empty()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Md5Lane {
    /// Takes the next bytes; waits while too many are not hashed yet. Runs on a tokio runtime.
    pub async fn update(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        {
            let mut lane = self.lane.lock().expect("no holder panics");
            lane.push(bytes);
            if !lane.is_listed && !lane.has_failed {
                lane.is_listed = true;
                drop(lane);
                self.hasher.list(Arc::clone(&self.lane));
            }
        }
        self.until(|lane| lane.pending <= PENDING_SIZE_BYTES_MAX)
            .await;
    }

    /// The digest of all that was taken.
    ///
    /// # Errors
    /// `Internal` when the hasher panicked.
    pub async fn finish(&self) -> Result<[u8; 16]> {
        self.until(|lane| !lane.is_listed).await;
        let lane = self.lane.lock().expect("no holder panics");
        if lane.has_failed {
            let message = "MD5 could not be computed".to_owned();
            return Err(Error::Internal { message });
        }
        Ok(lane.md5.finalize())
    }

    async fn until(&self, is_so: impl Fn(&Lane) -> bool) {
        std::future::poll_fn(|context| {
            let mut lane = self.lane.lock().expect("no holder panics");
            if lane.has_failed || is_so(&lane) {
                return Poll::Ready(());
            }
            lane.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Md5Lane {
    /// An upload that was given up leaves nothing to hash.
    fn drop(&mut self) {
        let mut lane = self.lane.lock().expect("no holder panics");
        lane.chunks.clear();
        lane.small.clear();
    }
}

struct Engine {
    many: Md5Many,
    /// Whether lanes compute here what single streams do.
    is_sound: bool,
}

impl Engine {
    fn new() -> Self {
        let many = Md5Many::new();
        let is_sound = check(&many);
        if !is_sound {
            tracing::error!(
                "MD5 in lanes is wrong on this processor: streams are hashed one by one"
            );
        }
        Self { many, is_sound }
    }
}

/// What hashes the streams of one store.
#[derive(Default)]
pub struct Hasher {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    lanes: VecDeque<Arc<Mutex<Lane>>>,
    is_running: bool,
}

/// Whether 1 to 48 lanes compute what single streams do, over blocks and odd ends.
fn check(engine: &Md5Many) -> bool {
    let content: Vec<u8> = (0..1000u32).map(|at| (at * at / 7) as u8).collect();
    (1..=LANES_MAX).all(|count| {
        let inputs: Vec<&[u8]> = (0..count).map(|lane| &content[lane * 3..]).collect();
        let mut lanes = vec![Md5State::new(); count];
        let firsts: Vec<&[u8]> = inputs.iter().map(|input| &input[..512]).collect();
        engine.update_many(&mut lanes, &firsts);
        let rests: Vec<&[u8]> = inputs.iter().map(|input| &input[512..]).collect();
        engine.update_many(&mut lanes, &rests);
        let mut single = inputs.iter().map(|input| md5_many::md5(input));
        lanes
            .iter()
            .all(|lane| Some(lane.finalize()) == single.next())
    })
}

/// A stream in a round.
struct InRound {
    lane: Arc<Mutex<Lane>>,
    chunk: Bytes,
}

impl Hasher {
    /// A new stream.
    pub fn lane(self: &Arc<Self>) -> Md5Lane {
        Md5Lane {
            lane: Arc::default(),
            hasher: Arc::clone(self),
        }
    }

    fn list(self: &Arc<Self>, lane: Arc<Mutex<Lane>>) {
        let mut queue = self.queue.lock().expect("no holder panics");
        queue.lanes.push_back(lane);
        let starts = !std::mem::replace(&mut queue.is_running, true);
        drop(queue);
        if starts {
            let running = Running {
                hasher: Arc::clone(self),
                round: Vec::new(),
                is_done: false,
            };
            tasks::spawn(tasks::blocking(move || running.run()));
        }
    }
}

/// The one thread that hashes, from before it starts.
struct Running {
    hasher: Arc<Hasher>,
    /// The streams it has now.
    round: Vec<Arc<Mutex<Lane>>>,
    is_done: bool,
}

impl Running {
    /// Hashes until there is nothing to hash.
    fn run(mut self) {
        let most = if ENGINE.is_sound { LANES_MAX } else { 1 };
        loop {
            let mut queue = self.hasher.queue.lock().expect("no holder panics");
            let count = queue.lanes.len().min(most);
            if count == 0 {
                queue.is_running = false;
                self.is_done = true;
                return;
            }
            self.round = queue.lanes.drain(..count).collect();
            drop(queue);
            let next = Hasher::round(&self.round);
            let mut queue = self.hasher.queue.lock().expect("no holder panics");
            queue.lanes.extend(next);
            drop(queue);
            self.round.clear();
        }
    }
}

impl Drop for Running {
    /// When it panicked, or was never begun because the runtime ends.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let unpoisoned = PoisonError::into_inner;
        let mut queue = self.hasher.queue.lock().unwrap_or_else(unpoisoned);
        queue.is_running = false;
        let lost: Vec<_> = self.round.drain(..).chain(queue.lanes.drain(..)).collect();
        drop(queue);
        for lane in lost {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            (lane.has_failed, lane.is_listed) = (true, false);
            lane.wake();
        }
    }
}

impl Hasher {
    /// One round over `lanes`; those that have more to hash come back.
    fn round(lanes: &[Arc<Mutex<Lane>>]) -> Vec<Arc<Mutex<Lane>>> {
        let mut states = Vec::with_capacity(lanes.len());
        let mut streams = Vec::with_capacity(lanes.len());
        for arc in lanes {
            let mut lane = arc.lock().expect("no holder panics");
            let Some(chunk) = lane.pop() else {
                // It was given up.
                lane.is_listed = false;
                lane.wake();
                continue;
            };
            states.push(lane.md5);
            drop(lane);
            let lane = Arc::clone(arc);
            streams.push(InRound { lane, chunk });
        }
        let sizes = streams.iter().map(|stream| stream.chunk.len()).collect();
        Self::hash(&mut states, &mut streams);
        let rounds = streams.into_iter().zip(states).zip::<Vec<usize>>(sizes);
        let settled = rounds.filter_map(|((stream, md5), size)| {
            let mut lane = stream.lane.lock().expect("no holder panics");
            lane.md5 = md5;
            lane.pending -= size - stream.chunk.len();
            if !stream.chunk.is_empty() {
                lane.chunks.push_front(stream.chunk);
            }
            lane.is_listed = !lane.is_empty();
            lane.wake();
            lane.is_listed.then(|| Arc::clone(&stream.lane))
        });
        settled.collect()
    }

    /// Advances each state over some of its chunk: at least over one byte.
    fn hash(states: &mut [Md5State], streams: &mut [InRound]) {
        // Lanes take whole blocks side by side: up to a block's bound each stream goes alone.
        for (state, stream) in states.iter_mut().zip(streams.iter_mut()) {
            let used = (state.bytes_hashed() % BLOCK_SIZE_BYTES as u64) as usize;
            let alone = match stream.chunk.len() {
                small if small < SHARED_SIZE_BYTES_MIN + BLOCK_SIZE_BYTES => small,
                _ if used > 0 => BLOCK_SIZE_BYTES - used,
                _ => 0,
            };
            state.update(&stream.chunk[..alone]);
            stream.chunk.advance(alone);
        }
        let blocks = |stream: &InRound| stream.chunk.len() / BLOCK_SIZE_BYTES;
        let shared = streams
            .iter()
            .map(blocks)
            .filter(|blocks| *blocks > 0)
            .min();
        let Some(shared) = shared else { return };
        let size = (shared * BLOCK_SIZE_BYTES).min(ROUND_SIZE_BYTES_MAX);
        let (mut busy, mut inputs, mut at) = (Vec::new(), Vec::new(), Vec::new());
        for (index, stream) in streams.iter().enumerate() {
            if let Some(input) = stream.chunk.get(..size) {
                busy.push(states[index]);
                inputs.push(input);
                at.push(index);
            }
        }
        if busy.len() < SHARED_COUNT_MIN {
            let alone = busy.iter_mut().zip(&inputs);
            alone.for_each(|(state, input)| state.update(input));
        } else {
            // Other widths than two or three vectors are several times slower: the rest of the lanes
            // computes what nobody asks for.
            let vector = ENGINE.many.lanes();
            let width = if busy.len() > 2 * vector { 3 } else { 2 } * vector;
            let width = busy.len().next_multiple_of(width);
            busy.resize(width, Md5State::new());
            inputs.resize(width, inputs[0]);
            ENGINE.many.update_many(&mut busy, &inputs);
        }
        for (state, index) in busy.into_iter().zip(at) {
            states[index] = state;
            streams[index].chunk.advance(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest as _;
    use proptest::prelude::*;

    use super::*;

    fn content(size: usize, seed: u8) -> Bytes {
        (0..size)
            .map(|at| (at * 31 + at / 251) as u8 ^ seed)
            .collect()
    }

    async fn laned(hasher: Arc<Hasher>, content: Bytes, piece: usize) -> [u8; 16] {
        let lane = hasher.lane();
        let mut rest = content;
        while !rest.is_empty() {
            let piece = rest.split_to(piece.clamp(1, rest.len()));
            lane.update(piece).await;
        }
        lane.finish().await.unwrap()
    }

    /// What another implementation says.
    fn expected(content: &[u8]) -> [u8; 16] {
        md5::Md5::digest(content).into()
    }

    #[test]
    fn lanes_compute_here_what_single_streams_do() {
        assert!(check(&Md5Many::new()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_stream_gets_its_own_digest_whatever_the_others_send(
            streams in proptest::collection::vec((0usize..200_000, 1usize..70_000), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            runtime.block_on(async {
                let mut hashes = Vec::new();
                let hasher = Arc::<Hasher>::default();
                for (index, (size, piece)) in streams.iter().enumerate() {
                    let content = content(*size, index as u8);
                    let hash = tasks::spawn(laned(Arc::clone(&hasher), content.clone(), *piece));
                    hashes.push((content, hash));
                }
                for (content, hash) in hashes {
                    assert_eq!(hash.await.unwrap(), expected(&content), "{} bytes", content.len());
                }
            });
        }
    }

    #[tokio::test]
    async fn an_upload_that_is_given_up_holds_up_nobody_and_keeps_no_bytes() {
        let hasher = Arc::<Hasher>::default();
        let given_up = hasher.lane();
        let bytes = content(PENDING_SIZE_BYTES_MAX, 1);
        given_up.update(bytes.clone()).await;
        let kept = Arc::clone(&given_up.lane);
        drop(given_up);
        assert_eq!(laned(hasher, bytes.clone(), 4096).await, expected(&bytes));
        assert!(kept.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_stream_of_no_bytes_has_the_digest_of_none() {
        assert_eq!(
            Arc::<Hasher>::default().lane().finish().await.unwrap(),
            expected(&[])
        );
    }

    #[tokio::test]
    async fn streams_of_a_hasher_that_ends_without_having_hashed_fail_and_the_next_go_on() {
        let hasher = Arc::<Hasher>::default();
        let lost = hasher.lane();
        let bytes = content(10_000, 1);
        {
            let mut lane = lost.lane.lock().unwrap();
            lane.push(bytes.clone());
            lane.is_listed = true;
        }
        {
            let mut queue = hasher.queue.lock().unwrap();
            queue.lanes.push_back(Arc::clone(&lost.lane));
            queue.is_running = true;
        }
        drop(Running {
            hasher: Arc::clone(&hasher),
            round: Vec::new(),
            is_done: false,
        });
        lost.update(bytes.clone()).await;
        assert!(lost.finish().await.is_err());
        assert_eq!(laned(hasher, bytes.clone(), 4096).await, expected(&bytes));
    }

    #[test]
    fn small_chunks_are_gathered_in_order() {
        let mut lane = Lane::default();
        let bytes = content(300_000, 3);
        let mut rest = bytes.clone();
        for size in [1, 2, 3, 5000, 7, 70_000, 100].into_iter().cycle() {
            let size = size.min(rest.len());
            lane.push(rest.split_to(size));
            if rest.is_empty() {
                break;
            }
        }
        for _ in 0..200_000 {
            lane.push(Bytes::from_static(b"x"));
        }
        assert_eq!(lane.pending, 500_000);
        assert!(lane.chunks.len() < 40, "{} chunks", lane.chunks.len());
        let mut all = Vec::new();
        while let Some(chunk) = lane.pop() {
            all.extend_from_slice(&chunk);
        }
        assert!(all[..300_000] == bytes && all[300_000..].iter().all(|byte| *byte == b'x'));
    }
}
