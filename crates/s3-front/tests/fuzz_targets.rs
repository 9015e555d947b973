//! T13: the fuzz targets, on their corpus and on mutations of it, in every run.
//!
//! libFuzzer looks further (see `fuzz/`); this sees to it that a parser that panics or reads one body
//! in two ways does not wait for a night to be found. The seed is printed, and taken from
//! `STRONGROOM_FUZZ_SEED` when that is set.

mod common;

use std::fs;
use std::path::Path;

use common::Call;
use strongroom_base::{Random, SeededRandom};
use strongroom_s3_front::fuzzing::TARGETS;

/// Mutations of a target in a change; all targets take some seconds together.
const MUTATIONS: u64 = 20_000;
/// Longest input: a mutation may double one.
const INPUT_SIZE_BYTES_MAX: usize = 8 * 1024;

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        let bytes = self.0.next_16();
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        usize::try_from(number % (bound.max(1) as u64)).unwrap()
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// Bits, bytes, pieces moved, numbers and words that parsers trip over.
fn mutate(dice: &Dice, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    const WORDS: [&[u8]; 20] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\"",
        b"\\",
        b"=",
        b";",
        b"%",
        b"%00",
        b"%2F",
        b"<",
        b"&",
        b"]]>",
        b"0",
        b"ffffffffffffffff",
        b"-1",
        b"\xFF",
        b"--b",
        b"\r\n--b--\r\n",
    ];
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(16)).min(input.len());
        match dice.below(7) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
            4 => {
                let piece = input[at..end].to_vec();
                let to = dice.below(input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            5 => input.truncate(at),
            _ => {
                let other = &others[dice.below(others.len())];
                let from = dice.below(other.len() + 1);
                drop(input.splice(at..end, other[from..].iter().copied()));
            }
        }
    }
    input.truncate(INPUT_SIZE_BYTES_MAX);
}

fn scale() -> u64 {
    let text = std::env::var("STRONGROOM_TEST_SCALE").unwrap_or_default();
    text.parse().unwrap_or(1)
}

fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let given = std::env::var("STRONGROOM_FUZZ_SEED").ok();
    given.map_or_else(
        || RandomState::new().hash_one(0),
        |text| text.parse().expect("STRONGROOM_FUZZ_SEED is a number"),
    )
}

#[test]
fn no_bytes_of_a_stranger_panic_a_parser_or_are_read_in_two_ways() {
    let seed = seed();
    for (name, run) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for input in &corpus {
            run(input);
        }
        let dice = Dice(SeededRandom::new(seed));
        for count in 0..MUTATIONS * scale() {
            let mut input = corpus[dice.below(corpus.len())].clone();
            mutate(&dice, &mut input, &corpus);
            let result = std::panic::catch_unwind(|| run(&input));
            if result.is_err() {
                panic!(
                    "{name}, seed {seed}, mutation {count}: {:?}",
                    String::from_utf8_lossy(&input)
                );
            }
        }
        println!(
            "{name}: {} of the corpus, {} mutations, seed {seed}",
            corpus.len(),
            MUTATIONS * scale()
        );
    }
}

/// What a request says, whichever way it is written; none when it is no HTTP request.
fn meaning(method: &str, uri: &str, headers: &[(String, String)]) -> Option<String> {
    let _: http::Method = method.parse().ok()?;
    let _: http::Uri = uri.parse().ok()?;
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let pair = pair.replace('+', " ");
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            (unescaped(name), unescaped(value))
        })
        .collect();
    pairs.sort();
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let words: Vec<_> = value.split_ascii_whitespace().collect();
            (name.to_ascii_lowercase(), words.join(" "))
        })
        .collect();
    lines.sort();
    Some(format!(
        "{method} {:?} {pairs:?} {lines:?}",
        unescaped(path)
    ))
}

fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// `text` with one bit changed.
fn flipped(dice: &Dice, text: &str) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = dice.below(bytes.len());
    *bytes.get_mut(at)? ^= 1 << dice.below(8);
    String::from_utf8(bytes).ok()
}

fn good_requests() -> Vec<Call> {
    let with = |call: Call| {
        call.header("x-amz-meta-colour", "blue and green")
            .header("content-type", "text/plain")
            .header("range", "bytes=0-5")
    };
    vec![
        Call::new("GET", "/bucket/key").signed(),
        with(Call::new("PUT", "/bucket/a/b%20c%2B%C3%A9"))
            .body("content")
            .signed(),
        Call::new("GET", "/bucket?delimiter=%2F&list-type=2&prefix=a%20b").signed(),
        Call::new("DELETE", "/bucket/key?versionId=null").signed_as("UNSIGNED-PAYLOAD"),
        with(Call::new("PUT", "/bucket/key?partNumber=1&uploadId=abc")).chunked(
            b"content",
            3,
            &[],
            true,
        ),
        Call::new("GET", "/bucket/key").presigned("86400"),
        with(Call::new("PUT", "/bucket/key%27s")).presigned("604800"),
        Call::new("GET", "/bucket/key?response-content-type=text%2Fplain").presigned("60"),
    ]
}

#[test]
fn of_a_hundred_thousand_signed_requests_with_one_bit_changed_none_is_accepted() {
    use strongroom_base::Timestamp;
    use strongroom_s3_front::Credentials;
    use strongroom_s3_front::auth::key_cache::KeyCache;
    use strongroom_s3_front::auth::{Authenticator, Presented};
    use strongroom_s3_front::target::Target;

    let (seed, count) = (seed(), 100_000 * scale());
    let dice = Dice(SeededRandom::new(seed));
    let credentials = Credentials::root(common::ACCESS_KEY, common::SECRET_KEY);
    let keys = KeyCache::default();
    let authenticator = Authenticator {
        region: "us-east-1",
        credentials: &credentials,
        keys: &keys,
        now: Timestamp(common::NOW_SECONDS * 1_000_000_000),
    };
    let verdict = |method: &str, uri: &str, headers: &[(String, String)]| -> Result<(), String> {
        let bad = |_| "unreadable".to_owned();
        let target =
            Target::parse(&uri.parse().unwrap(), None).map_err(|error| error.code.into_owned())?;
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(()))?;
            map.append(
                name,
                http::HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad(()))?,
            );
        }
        let host = map
            .get("host")
            .and_then(|host| host.to_str().ok())
            .ok_or_else(|| bad(()))?
            .to_owned();
        let presented = Presented {
            method: &method.parse().unwrap(),
            target: &target,
            headers: &map,
            host: &host,
        };
        authenticator
            .verify(&presented)
            .map(drop)
            .map_err(|error| error.code.into_owned())
    };
    let goods = good_requests();
    let split = |call: &Call| -> (String, String, Vec<(String, String)>) {
        let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        (
            call.method.to_string(),
            call.uri.clone(),
            call.headers.iter().map(pair).collect(),
        )
    };
    for good in &goods {
        let (method, uri, headers) = split(good);
        assert_eq!(verdict(&method, &uri, &headers), Ok(()), "{uri}");
    }
    let (mut done, mut by_signature) = (0, 0);
    while done < count {
        let (method, uri, headers) = split(&goods[dice.below(goods.len())]);
        let before = meaning(&method, &uri, &headers);
        let (mut method, mut uri, mut headers) = (method, uri, headers);
        let index = dice.below(headers.len());
        let header = &mut headers[index];
        let slot = match dice.below(6) {
            0 => &mut method,
            1 | 2 => &mut uri,
            3 => &mut header.0,
            _ => &mut header.1,
        };
        let Some(text) = flipped(&dice, slot) else {
            continue;
        };
        *slot = text;
        let after = meaning(&method, &uri, &headers);
        if after.is_none() || after == before {
            continue;
        }
        done += 1;
        match verdict(&method, &uri, &headers) {
            Ok(()) => panic!("seed {seed}: accepted {method} {uri} {headers:?}"),
            Err(code) => by_signature += u64::from(code == "SignatureDoesNotMatch"),
        }
    }
    println!(
        "{done} changed requests refused, {by_signature} of them for their signature, seed {seed}"
    );
    assert!(
        by_signature * 4 > done,
        "most never got as far as the signature"
    );
}
