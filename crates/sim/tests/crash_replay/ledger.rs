//! What clients were told, read from the marks of a trace.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use strongroom_sim::Event;

/// Content that can be told from all other content: a number seeds the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Piece {
    pub id: u64,
    pub size: usize,
}

/// The pieces made so far: each crash point compares the same few again.
static MADE: LazyLock<Mutex<HashMap<Piece, Bytes>>> = LazyLock::new(Mutex::default);

impl Piece {
    pub fn bytes(self) -> Bytes {
        let mut made = MADE.lock().expect("no holder panics");
        made.entry(self).or_insert_with(|| self.make()).clone()
    }

    fn make(self) -> Bytes {
        let mut state = self.id.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut out = Vec::with_capacity(self.size + 8);
        while out.len() < self.size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.extend_from_slice(&state.to_le_bytes());
        }
        out.truncate(self.size);
        out.into()
    }
}

/// An object: one piece, or the parts of an upload; or all versions of a key, newest first. `None` is no
/// object.
pub type State = Option<Vec<Piece>>;

pub fn content(pieces: &[Piece]) -> Vec<u8> {
    let pieces: Vec<Bytes> = pieces.iter().map(|piece| piece.bytes()).collect();
    pieces.concat()
}

/// What a client wrote into the trace.
#[derive(Clone, Debug)]
pub enum Told {
    BucketMade,
    /// The key is about to become `after`.
    Begun {
        key: String,
        after: State,
    },
    /// The client was answered: the change begun last on the key happened.
    Done {
        key: String,
    },
    /// The client was answered with an error after which nothing is known: what was begun stays
    /// possible.
    Unknown,
    UploadOpened {
        key: String,
        upload: String,
    },
    PartDone {
        upload: String,
        number: u16,
        piece: Piece,
        etag: String,
    },
    /// A complete or abort of the upload is about to begin.
    UploadClosing {
        upload: String,
    },
}

/// What may be found under a key.
#[derive(Default)]
pub struct KeyLedger {
    /// One of these.
    pub possible: Vec<State>,
    /// What it was at some time, or was about to be.
    pub ever: Vec<State>,
}

/// An upload that was acknowledged and not begun to be closed.
pub struct OpenUpload {
    pub key: String,
    pub id: String,
    pub parts: BTreeMap<u16, (Piece, String)>,
}

#[derive(Default)]
pub struct Ledger {
    pub bucket_made: bool,
    pub keys: BTreeMap<String, KeyLedger>,
    pub uploads: Vec<OpenUpload>,
}

impl Ledger {
    pub fn of(events: &[Event]) -> Self {
        let mut ledger = Self::default();
        for told in events.iter().filter_map(Event::mark::<Told>) {
            ledger.note(told);
        }
        ledger
    }

    fn key(&mut self, key: &str) -> &mut KeyLedger {
        self.keys
            .entry(key.to_owned())
            .or_insert_with(|| KeyLedger {
                possible: vec![None],
                ever: vec![None],
            })
    }

    fn note(&mut self, told: &Told) {
        match told {
            Told::BucketMade => self.bucket_made = true,
            Told::Begun { key, after } => {
                let key = self.key(key);
                key.possible.push(after.clone());
                key.ever.push(after.clone());
            }
            Told::Done { key } => {
                let key = self.key(key);
                let last = key.possible.pop().expect("it was begun");
                key.possible = vec![last];
            }
            Told::Unknown => {}
            Told::UploadOpened { key, upload } => self.uploads.push(OpenUpload {
                key: key.clone(),
                id: upload.clone(),
                parts: BTreeMap::new(),
            }),
            Told::PartDone {
                upload,
                number,
                piece,
                etag,
            } => {
                let open = self.uploads.iter_mut().find(|open| open.id == *upload);
                if let Some(open) = open {
                    open.parts.insert(*number, (*piece, etag.clone()));
                }
            }
            Told::UploadClosing { upload } => self.uploads.retain(|open| open.id != *upload),
        }
    }
}
