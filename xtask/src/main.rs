//! The project's own commands: `cargo xtask COMMAND`.
//!
//! One place that says what "green" means, so that a person, an editor and the continuous
//! integration run the same thing. Each job prints its name, its result and its time; the first
//! one that fails ends the run with one sentence.
//!
//! Invariants
//! - No step can hang: each has a time limit, and what it started is killed with it.
//! - A test that was skipped is counted and shown; it never passes silently.

mod bench;
mod ci;
mod client_tools;
mod conformance;
mod counts;
mod crash_points;
mod layers;
mod licences;
mod metadata;
mod package;
mod planted;
mod python;
mod ratchet;
mod reliability;
mod run;
mod schedules;
mod spec;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  ci        everything a change must pass: fmt, layers, ratchet, spec, licences, clippy, docs, counts, test
  test      install what the tests need, then run all of them
  slow      the same tests at larger sizes
  crash-points [--rounds 12] [--seed N]
            the crash replays with other schedules each round, a process for each processor: 12 rounds
            are a million points
  schedules the commit engine under a scheduler that picks which thread goes on
  planted   plant each bug of tests/planted.toml and demand that its test turns red
  conformance
            the public S3 suite against a server; --write shortens its list, --show says why
  conformance lock [--endpoint URL] [--region R] [--ca FILE] [--json FILE]
            Object Lock at any S3 endpoint, in buckets of its own: docs/operations/lock-conformance.md
  spec      every rule of the specification has a test, or a reason why not
  reliability [LOG...]
            enter the figures of the last run, or of logs, in RELIABILITY.json and docs/reliability.md
  bench [--kib 4,1024] [--connections 1,64] [--operations put,get] [--seconds 3] [--keep]
            speed and cost of operations beside the limits of the machine; --keep: as the release's
  bench compare A B [--rounds 3] [as above]
            the same of two programs or endpoints (http://HOST:PORT[@PID]) in turn, as ratios
  bench resilience [--gib N] [--small N] [--folder FOLDER]
            rates of scrub and repair, reads without a zone, restarts: a release build, a quiet machine
  counts    instructions of fixed loads against benches/counts/counts.toml (--write accepts them)
  layers    which room may use which
  ratchet   no file over 1000 lines, no function over 70, except those listed (--write lowers the list)
  package   build the release binary and the Debian package, in target/package
  licences  licences and sources of the dependencies
";

fn main() -> ExitCode {
    if let Err(error) = run::kill_children_on_interrupt() {
        eprintln!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["ci"] => ci::ci(),
        ["test"] => test::test(test::Size::Change),
        ["slow"] => test::test(test::Size::Slow),
        ["crash-points", arguments @ ..] => crash_points::crash_points(arguments),
        ["schedules"] => schedules::schedules(1).map(drop),
        ["planted"] => planted::planted(),
        ["conformance", "lock", arguments @ ..] => conformance::lock(arguments),
        ["conformance", arguments @ ..] => conformance::conformance(arguments),
        ["spec"] => spec::spec(),
        ["reliability", logs @ ..] => reliability::reliability(logs),
        ["bench", "resilience", arguments @ ..] => bench::resilience(arguments),
        ["bench", "compare", arguments @ ..] => bench::compare(arguments),
        ["bench", arguments @ ..] => bench::bench(arguments),
        ["counts"] => counts::check(),
        ["counts", "--write"] => counts::write(),
        ["layers"] => layers::layers(),
        ["ratchet"] => ratchet::check(),
        ["ratchet", "--write"] => ratchet::write(),
        ["package"] => package::release(),
        ["licences"] => licences::licences(),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
