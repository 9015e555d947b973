//! Progress of what a command waits for: a line that is drawn over itself, on standard error.
//!
//! Nothing is drawn when that is no terminal: scripts get the answer alone. Nothing of the terminal is
//! changed that an interrupt would leave behind.

use std::io::{IsTerminal, Write};

use crate::show::{escaped, size, span};

/// Width of the bar.
const BAR_CELLS: u64 = 24;

/// The line.
pub(crate) struct Progress {
    terminal: bool,
    drawn: bool,
}

/// How far something is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Step {
    pub done: u64,
    /// 0 when it is not known.
    pub total: u64,
    pub per_second: u64,
    pub seconds_left: Option<u64>,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            drawn: false,
        }
    }

    /// Draws the line anew.
    pub fn draw(&mut self, what: &str, text: &str) {
        if self.terminal {
            self.drawn = true;
            let mut out = std::io::stderr();
            let _ = write!(out, "\r{}: {text}\u{1b}[K", escaped(what));
            let _ = out.flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// Bytes done of bytes in all, as text.
pub(crate) fn bytes(step: Step) -> String {
    let left = step
        .seconds_left
        .map(|left| format!(", {} left", span(left)));
    let rate = match step.per_second {
        0 => String::new(),
        rate => format!(", {}/s", size(rate)),
    };
    let done = step.done.min(step.total.max(step.done));
    let of = match step.total {
        0 => size(done),
        total => format!(
            "{} {} of {}",
            bar(done, total),
            size(done.min(total)),
            size(total)
        ),
    };
    format!("{of}{rate}{}", left.unwrap_or_default())
}

/// `[######..................] 25 %`
pub(crate) fn bar(done: u64, total: u64) -> String {
    let done = u128::from(done.min(total));
    let share = |of: u64| done * u128::from(of) / u128::from(total.max(1));
    let full = usize::try_from(share(BAR_CELLS)).unwrap_or(0);
    let empty = usize::try_from(BAR_CELLS)
        .unwrap_or(full)
        .saturating_sub(full);
    format!(
        "[{}{}] {} %",
        "#".repeat(full),
        ".".repeat(empty),
        share(100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_leaves_its_frame() {
        assert_eq!(bar(1, 4), "[######..................] 25 %");
        assert_eq!(bar(9, 4), format!("[{}] 100 %", "#".repeat(24)));
        assert!(bar(0, 0).ends_with(" 0 %"));
    }

    #[test]
    fn a_step_says_what_is_known() {
        let step = Step {
            done: 1024,
            total: 4096,
            per_second: 512,
            seconds_left: Some(6),
        };
        assert!(bytes(step).ends_with("25 % 1.0 KiB of 4.0 KiB, 512 B/s, 6 s left"));
        assert_eq!(
            bytes(Step {
                done: 3,
                ..Step::default()
            }),
            "3 B"
        );
    }
}
