//! Running a command with a time limit, killing all that it started.
//!
//! A test that hangs must not hang the whole run, and a server that a killed test leaves behind
//! must not hold ports and locks of the next one. So each command leads a process group of its
//! own, and the group is killed when the limit passes or the run is interrupted.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use std::os::unix::process::CommandExt;

/// How often a running command is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The process group of the command that runs now; zero when none does. We run one at a time.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// What a finished command said.
pub struct Output {
    pub status: ExitStatus,
    /// Standard output, line by line.
    pub lines: Vec<String>,
}

/// What to do with a command's standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Print it as it comes, and keep it.
    Show,
    /// Print what tells something of a test program: figures, what is skipped, results that are not
    /// empty, and all of a failure. Keep everything.
    Brief,
    /// Only keep it; standard error still shows.
    Keep,
    /// Only keep it. Standard error is hidden too.
    Hide,
}

/// The folder that holds the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

/// Kills the running command's group when we are interrupted or terminated, and leaves.
pub fn kill_children_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| {
        kill_group();
        std::process::exit(130);
    })
    .context("install the interrupt handler")
}

/// A command of `words`, run in the workspace folder.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(root());
    command
}

/// A `cargo` command: the same cargo that runs us.
pub fn cargo(words: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(words).current_dir(root());
    command
}

/// Builds the tests that `cargo test` is told by `words` and returns their programs.
pub fn test_programs(words: &[&str], limit: Duration) -> Result<Vec<String>> {
    let mut build = cargo(&["test", "--locked", "--no-run", "--message-format", "json"]);
    build.args(words);
    let lines = must_echo("cargo test --no-run", &mut build, limit, Echo::Keep)?;
    Ok(lines
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(str::to_owned))
        .collect())
}

/// Runs `command`, shows its output, and fails unless it succeeds within `limit`.
pub fn must(name: &str, command: &mut Command, limit: Duration) -> Result<Vec<String>> {
    must_echo(name, command, limit, Echo::Show)
}

/// As [`must`], and `echo` says what is shown.
pub fn must_echo(
    name: &str,
    command: &mut Command,
    limit: Duration,
    echo: Echo,
) -> Result<Vec<String>> {
    let output = output(name, command, limit, echo)?;
    if !output.status.success() {
        // A log of megabytes hides its few lines of failure: they are said again at its end.
        let failures = failures(&output.lines).join("\n");
        bail!("{name} failed ({})\n{failures}", output.status);
    }
    Ok(output.lines)
}

/// Whether a line of a test program tells nothing once all is well: names of what passed, and the
/// traces of panics that a test asked for.
fn is_noise(line: &str) -> bool {
    const BEGINS: [&str; 9] = [
        " ",
        "running ",
        "successes:",
        "---- ",
        "thread '",
        "stack backtrace:",
        "note: ",
        "contract case ",
        "test result: ok. 0 passed; 0 failed; 0 ignored",
    ];
    let passed = line.starts_with("test ") && line.ends_with("... ok");
    line.trim().is_empty() || passed || BEGINS.iter().any(|begin| line.starts_with(begin))
}

/// Lines said again of a command that failed.
const FAILURES_MAX: usize = 60;

/// The lines in which cargo's tests, pytest and our own tools name what failed.
fn failures(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line.trim_end())
        .filter(|line| {
            let cargo = line.starts_with("test ") && line.ends_with("... FAILED");
            let pytest = line.starts_with("FAILED ") || line.starts_with("ERROR ");
            cargo || pytest || line.starts_with("test result: FAILED") || line.starts_with("error")
        })
        .take(FAILURES_MAX)
        .collect()
}

/// Runs `command` and returns what it said. Fails when it can not start or the limit passes.
#[allow(clippy::disallowed_methods)] // a tool on a real machine: threads and real time are its job
pub fn output(name: &str, command: &mut Command, limit: Duration, echo: Echo) -> Result<Output> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if echo == Echo::Hide {
        command.stderr(Stdio::null());
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("{name}: start {command:?}"))?;
    GROUP.store(
        child.id().try_into().context("process id")?,
        Ordering::SeqCst,
    );
    let pipe = child.stdout.take().expect("standard output is piped");
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut in_failure = false;
        for line in BufReader::new(pipe)
            .split(b'\n')
            .map_while(std::result::Result::ok)
        {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.starts_with("failures:") {
                in_failure = true;
            } else if line.starts_with("test result:") {
                in_failure = false;
            }
            if echo == Echo::Show || echo == Echo::Brief && (in_failure || !is_noise(&line)) {
                println!("{line}");
            }
            lines.push(line);
        }
        lines
    });
    let status = wait(&mut child, limit);
    // What the command left behind holds our pipe and its ports: it goes with the command.
    kill_group();
    GROUP.store(0, Ordering::SeqCst);
    let lines = reader.join().unwrap_or_default();
    match status? {
        Some(status) => Ok(Output { status, lines }),
        None => bail!(
            "{name} did not finish within {} s and was killed",
            limit.as_secs()
        ),
    }
}

/// Waits for `child` until `limit`; kills its group and answers nothing when that passes.
#[allow(clippy::disallowed_methods)] // as above
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait().context("wait for the command")? {
            return Ok(Some(status));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    kill_group();
    child.wait().context("wait for the killed command")?;
    Ok(None)
}

fn kill_group() {
    let group = GROUP.load(Ordering::SeqCst);
    if group > 0 {
        // It may be gone already, which is what we want.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// Runs one job: prints its name, its result and its time.
#[allow(clippy::disallowed_methods)] // as above
pub fn job<T>(name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = body();
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    println!("== {name}: {word}, {:.1} s", start.elapsed().as_secs_f64());
    result.with_context(|| format!("job '{name}' failed"))
}

/// Whether a program of this name is on the path.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Minutes as a duration.
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_name_a_failure_are_found_and_no_others() {
        let said = [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed",
            "the word FAILED in the middle",
            "FAILED tests/test_x.py::test_y - assert 1 == 2",
            "thread 'case' panicked at crates/meta/src/contract/scan.rs:72:13:",
        ]
        .map(str::to_owned);
        assert_eq!(failures(&said), [&said[1], &said[2], &said[4]]);
    }

    #[test]
    fn figures_results_skips_and_failures_are_shown_and_passes_are_not() {
        let shown = [
            "crash replay: 27484 points, 0 lost",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured",
            "test a::b ... ignored, needs root",
            "test a::c ... FAILED",
        ];
        assert!(!shown.iter().any(|line| is_noise(line)));
        let hidden = [
            "test a::b ... ok",
            "successes:",
            "    a::b",
            "",
            "  14: start",
        ];
        assert!(hidden.iter().all(|line| is_noise(line)));
    }
}
