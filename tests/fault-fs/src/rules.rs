//! Which calls fail, and how.
//!
//! A rule is `PATTERN OPERATIONS FAULT`: a path below the mount with `*` for any run of characters,
//! operations joined by commas (or `all`), and what happens to them. The first rule that fits a call
//! decides. A call that hangs goes on when its rule is gone, as one on a real disk that comes back.
//!
//! Invariants
//! - A command that is not understood changes nothing and says so.
//! - Every call a rule fitted is counted, so that a test can tell that its fault was met.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longest delay of one call: longer is what `hang` is for.
const DELAY_MS_MAX: u64 = 60_000;

/// What a call wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Open,
    Create,
    Read,
    Write,
    Sync,
    List,
    Stat,
    Remove,
    Rename,
    Allocate,
    Space,
}

/// Every operation, with its word.
const OPERATIONS: [(&str, Operation); 11] = [
    ("open", Operation::Open),
    ("create", Operation::Create),
    ("read", Operation::Read),
    ("write", Operation::Write),
    ("sync", Operation::Sync),
    ("list", Operation::List),
    ("stat", Operation::Stat),
    ("remove", Operation::Remove),
    ("rename", Operation::Rename),
    ("allocate", Operation::Allocate),
    ("space", Operation::Space),
];

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails: EIO, ENOSPC or EROFS.
    Error(i32),
    /// It does not come back while the rule stands.
    Hang,
    /// It comes back late.
    Slow(Duration),
    /// A read answers the first half of what was asked, or nothing of a single byte.
    Short,
    /// A bit of what is read is another.
    Flip,
    /// A write is acknowledged and not done.
    Drop,
    /// A sync fails, and what was written since the last one is gone.
    Lose,
}

struct Rule {
    number: u64,
    pattern: String,
    operations: Vec<Operation>,
    fault: Fault,
}

impl Rule {
    fn fits(&self, operation: Operation, path: &str) -> bool {
        self.operations.contains(&operation) && matches(self.pattern.as_bytes(), path.as_bytes())
    }
}

#[derive(Default)]
struct Table {
    rules: Vec<Rule>,
    next: u64,
    met: u64,
}

/// The rules in force. Shared by the calls and by whoever commands.
#[derive(Default)]
pub struct Rules {
    table: Mutex<Table>,
    changed: Condvar,
}

impl Rules {
    /// What happens to a call, and the number of the rule that says so.
    pub fn meet(&self, operation: Operation, path: &str) -> Option<(u64, Fault)> {
        let mut table = self.table();
        let found = table
            .rules
            .iter()
            .find(|rule| rule.fits(operation, path))
            .map(|rule| (rule.number, rule.fault));
        table.met += u64::from(found.is_some());
        found
    }

    /// Whether syncs of a path are to lose what was written.
    pub fn loses(&self, path: &str) -> bool {
        self.table()
            .rules
            .iter()
            .any(|rule| rule.fault == Fault::Lose && rule.fits(Operation::Sync, path))
    }

    /// Waits until a rule is gone.
    pub fn wait_gone(&self, number: u64) {
        let mut table = self.table();
        while table.rules.iter().any(|rule| rule.number == number) {
            table = self.changed.wait(table).expect("no holder panics");
        }
    }

    /// Obeys one command: `add PATTERN OPERATIONS FAULT`, `clear` or `met`. Answers what to print.
    pub fn obey(&self, command: &str) -> Result<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["add", pattern, operations, fault @ ..] => {
                let (operations, fault) = (parse_operations(operations)?, parse_fault(fault)?);
                let mut table = self.table();
                let number = table.next;
                table.next += 1;
                table.rules.push(Rule {
                    number,
                    pattern: (*pattern).to_owned(),
                    operations,
                    fault,
                });
                Ok(String::new())
            }
            ["clear"] => {
                self.table().rules.clear();
                self.changed.notify_all();
                Ok(String::new())
            }
            ["met"] => Ok(format!(" {}", self.table().met)),
            _ => bail!("expected add PATTERN OPERATIONS FAULT, clear or met"),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no holder panics")
    }
}

fn parse_operations(text: &str) -> Result<Vec<Operation>> {
    if text == "all" {
        return Ok(OPERATIONS.iter().map(|(_, operation)| *operation).collect());
    }
    text.split(',')
        .map(|word| {
            let found = OPERATIONS.iter().find(|(name, _)| *name == word);
            found
                .map(|(_, operation)| *operation)
                .with_context(|| format!("unknown operation {word}"))
        })
        .collect()
}

fn parse_fault(words: &[&str]) -> Result<Fault> {
    use rustix::io::Errno;
    Ok(match words {
        ["eio"] => Fault::Error(Errno::IO.raw_os_error()),
        ["enospc"] => Fault::Error(Errno::NOSPC.raw_os_error()),
        ["erofs"] => Fault::Error(Errno::ROFS.raw_os_error()),
        ["hang"] => Fault::Hang,
        ["slow", millis] => {
            let millis: u64 = millis.parse().context("milliseconds")?;
            if millis > DELAY_MS_MAX {
                bail!("a delay is at most {DELAY_MS_MAX} ms");
            }
            Fault::Slow(Duration::from_millis(millis))
        }
        ["short"] => Fault::Short,
        ["flip"] => Fault::Flip,
        ["drop"] => Fault::Drop,
        ["lose"] => Fault::Lose,
        _ => bail!("unknown fault {}", words.join(" ")),
    })
}

/// Whether a text fits a pattern in which `*` stands for any run of bytes.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, pos));
            at += 1;
        } else if pattern.get(at) == Some(&text[pos]) {
            at += 1;
            pos += 1;
        } else if let Some((star_at, star_pos)) = star {
            // The star takes one byte more.
            at = star_at + 1;
            pos = star_pos + 1;
            star = Some((star_at, pos));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("disk/*", "disk/segments/1.seg", true),
            ("*.seg", "disk/segments/1.seg", true),
            ("*.seg", "disk/segments/1.segment", false),
            ("disk/log/*x*", "disk/log/axb", true),
            ("disk", "disk/log", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_is_counted() {
        let rules = Rules::default();
        rules.obey("add *.seg read,write eio").unwrap();
        rules.obey("add * all hang").unwrap();
        assert_eq!(
            rules.meet(Operation::Read, "a.seg").unwrap().1,
            Fault::Error(5)
        );
        assert_eq!(rules.meet(Operation::Sync, "a.seg").unwrap().1, Fault::Hang);
        rules.obey("clear").unwrap();
        assert_eq!(rules.meet(Operation::Read, "a.seg"), None);
        assert_eq!(rules.obey("met").unwrap(), " 2");
    }

    #[test]
    fn a_command_that_is_not_understood_changes_nothing() {
        let rules = Rules::default();
        for command in [
            "",
            "add",
            "add * read",
            "add * fly eio",
            "add * read slow x",
            "add * read slow 99999999",
        ] {
            assert!(rules.obey(command).is_err(), "{command}");
        }
        assert_eq!(rules.meet(Operation::Read, "a"), None);
    }
}
