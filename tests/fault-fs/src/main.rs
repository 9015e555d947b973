//! A file system that shows a folder and fails on command: for tests of what a store does then.
//!
//! `fault-fs FOLDER MOUNT` mounts it, says `ready`, and obeys one command a line from standard input,
//! each answered by `ok` or `error: why` once it is in force (see `rules`). At the end of its input it
//! lets go of every call that hangs, unmounts and ends, so that nothing is left of a test that died.

mod filesystem;
mod nodes;
mod rules;

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use fuser::{Config, MountOption, SessionACL};

use crate::filesystem::FaultFs;
use crate::rules::Rules;

/// Threads that take calls: as many as a store has disk threads busy at once, and some.
const THREADS: usize = 4;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, mount] = arguments.as_slice() else {
        bail!("usage: fault-fs FOLDER MOUNT");
    };
    let folder = folder
        .canonicalize()
        .with_context(|| format!("open {}", folder.display()))?;
    let rules = Arc::new(Rules::default());
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("fault-fs".into())];
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    let files = FaultFs::new(folder, Arc::clone(&rules));
    let session = fuser::spawn_mount(files, mount, &config)
        .with_context(|| format!("mount {}", mount.display()))?;
    say("ready")?;
    for line in stdin().lock().lines() {
        match rules.obey(&line.context("read a command")?) {
            Ok(answer) => say(&format!("ok{answer}"))?,
            Err(error) => say(&format!("error: {error:#}"))?,
        }
    }
    rules.obey("clear").context("let go")?;
    session.umount_and_join().context("unmount")
}

fn say(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{text}").context("answer")?;
    out.flush().context("answer")
}
