//! What a process has used, as the kernel tells it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// `/proc/PID/stat` counts in hundredths of a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since it started.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// Bytes it caused to be written to disks.
    pub written: u64,
    /// Resident memory now.
    pub resident: u64,
}

impl Usage {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Result<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let read = |name: &str| {
            std::fs::read_to_string(folder.join(name)).with_context(|| format!("{name} of {pid}"))
        };
        let stat = read("stat")?;
        // The name may hold anything, but its bracket is the last one.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u32>().ok());
        let cpu = ticks(11).zip(ticks(12)).context("times in stat")?;
        let resident = number(&read("status")?, "VmRSS:").unwrap_or(0) * 1024;
        // Without the right to see it, what was written stays unknown.
        let written = read("io")
            .ok()
            .and_then(|text| number(&text, "write_bytes:"));
        Ok(Self {
            cpu: TICK * (cpu.0 + cpu.1),
            written: written.unwrap_or(0),
            resident,
        })
    }
}

/// The processor time of the calling thread.
pub fn thread_cpu() -> Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let word = text
        .split_whitespace()
        .next()
        .context("times of the thread")?;
    Ok(Duration::from_nanos(
        word.parse().context("times of the thread")?,
    ))
}

fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_is_told_and_grows() {
        let before = Usage::of(std::process::id()).unwrap();
        assert!(before.resident > 0);
        let thread = thread_cpu().unwrap();
        let mut state = 1;
        while Usage::of(std::process::id()).unwrap().cpu <= before.cpu {
            for _ in 0..100_000 {
                std::hint::black_box(strongroom_load::bodies::mix(&mut state));
            }
        }
        assert!(thread_cpu().unwrap() > thread);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Usage::of(u32::MAX).is_err());
    }
}
