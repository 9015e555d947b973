//! The thread that writes the access log.
//!
//! Requests hand their records over and go on: a disk that hangs delays no answer. The queue between
//! is bounded; what finds no room is dropped and counted, because an access log is not worth an
//! answer.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use prometheus::IntCounter;
use strongroom_base::tasks;

use super::line::Record;

/// Most records that wait: with the longest fields some 64 MiB, and seconds of a busy server.
const QUEUE_LENGTH_MAX: usize = 4096;
/// How long a stop waits for what is in the queue.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    StandardOutput,
    File(PathBuf),
}

impl LogTarget {
    /// What the setting names: `-` is standard output.
    #[must_use]
    pub fn named(path: &Path) -> Self {
        if path == Path::new("-") {
            Self::StandardOutput
        } else {
            Self::File(path.to_path_buf())
        }
    }

    fn open(&self) -> io::Result<BufWriter<Box<dyn Write + Send>>> {
        let out: Box<dyn Write + Send> = match self {
            Self::StandardOutput => Box::new(io::stdout()),
            Self::File(path) => Box::new(open_to_append(path)?),
        };
        Ok(BufWriter::new(out))
    }
}

/// Whoever rotates the file may truncate it: what is appended goes to its end, wherever that is.
fn open_to_append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// What the writer counts.
#[derive(Clone)]
pub struct LogCounters {
    pub written: IntCounter,
    pub dropped: IntCounter,
}

enum Message {
    Line(Box<Record>),
    Reopen,
    Close(SyncSender<()>),
}

/// The way to the thread.
pub struct Writer {
    sender: SyncSender<Message>,
    counters: LogCounters,
}

impl Writer {
    /// Opens the target and starts the thread.
    ///
    /// # Errors
    /// When the target cannot be opened.
    pub fn start(target: LogTarget, counters: LogCounters) -> io::Result<Self> {
        let out = target.open()?;
        let (sender, receiver) = sync_channel(QUEUE_LENGTH_MAX);
        let own = counters.clone();
        tasks::spawn_thread("access-log", move || {
            Thread {
                target,
                out,
                counters: own,
                failing: false,
            }
            .run(&receiver);
        });
        Ok(Self { sender, counters })
    }

    /// Hands a record over, or drops it when too many wait.
    pub fn write(&self, record: Box<Record>) {
        match self.sender.try_send(Message::Line(record)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counters.dropped.inc();
            }
        }
    }

    /// Opens the file anew, which has been renamed. May wait for the thread.
    pub fn reopen(&self) {
        let _ = self.sender.send(Message::Reopen);
    }

    /// Waits until what was handed over is written, within bounds. May wait for the thread.
    pub fn close(&self) {
        let (sender, closed) = sync_channel(1);
        if self.sender.try_send(Message::Close(sender)).is_ok() {
            let _ = closed.recv_timeout(CLOSE_DEADLINE);
        }
    }
}

struct Thread {
    target: LogTarget,
    out: BufWriter<Box<dyn Write + Send>>,
    counters: LogCounters,
    /// Whether the last write failed, which was said.
    failing: bool,
}

impl Thread {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            self.handle(message);
            while let Ok(message) = receiver.try_recv() {
                self.handle(message);
            }
            let flushed = self.out.flush();
            self.say(flushed);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Line(record) => {
                let written = self.out.write_all(record.line().as_bytes());
                match written {
                    Ok(()) => self.counters.written.inc(),
                    Err(_) => self.counters.dropped.inc(),
                }
                self.say(written);
            }
            Message::Reopen => {
                let flushed = self.out.flush();
                self.say(flushed);
                match self.target.open() {
                    Ok(out) => self.out = out,
                    Err(error) => tracing::warn!(
                        %error,
                        "the access log could not be opened anew, it goes on in the old file"
                    ),
                }
            }
            Message::Close(closed) => {
                let flushed = self.out.flush();
                self.say(flushed);
                let _ = closed.send(());
            }
        }
    }

    /// Says once that writing fails.
    fn say(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, "the access log cannot be written, lines are lost");
                }
                self.failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> LogCounters {
        let counter = |name: &str| IntCounter::new(name, name).unwrap();
        LogCounters {
            written: counter("written"),
            dropped: counter("dropped"),
        }
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).unwrap().lines().count()
    }

    #[test]
    fn a_file_that_was_renamed_or_truncated_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let writer = Writer::start(LogTarget::File(path.clone()), counters()).unwrap();
        writer.write(Box::default());
        writer.write(Box::default());
        writer.close();
        assert_eq!(lines(&path), 2);
        std::fs::rename(&path, &old).unwrap();
        writer.reopen();
        writer.write(Box::default());
        writer.close();
        assert_eq!((lines(&path), lines(&old)), (1, 2));
        File::create(&path).unwrap();
        writer.write(Box::default());
        writer.close();
        assert_eq!(lines(&path), 1, "no hole where the truncated lines were");
        assert_eq!(writer.counters.written.get(), 4);
        assert_eq!(writer.counters.dropped.get(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_nobody_waits() {
        let (sender, receiver) = sync_channel(1);
        let counters = counters();
        let writer = Writer {
            sender,
            counters: counters.clone(),
        };
        for _ in 0..10 {
            writer.write(Box::default());
        }
        assert_eq!(counters.dropped.get(), 9, "a queue that nobody empties");
        drop(receiver);
        writer.write(Box::default());
        assert_eq!(counters.dropped.get(), 10);
    }

    #[test]
    fn a_target_that_cannot_be_opened_is_an_error() {
        let target = LogTarget::named(Path::new("/nowhere/log"));
        assert!(Writer::start(target, counters()).is_err());
        assert_eq!(LogTarget::named(Path::new("-")), LogTarget::StandardOutput);
    }
}
