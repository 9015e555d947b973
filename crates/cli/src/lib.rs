//! The command line of a running store: asks its administration port and shows the answer.
//!
//! People look at a store when something is wrong, and scripts look at it all day. Both get the
//! same calls: tables for people, with `--json` the answer as the server gave it.
//!
//! Exit codes, which scripts may rely on (`doctor` has its own for what it finds):
//! - 0: done.
//! - 1: the server refused or failed; the sentence on standard error says why.
//! - 2: a flag or setting is wrong; nothing was asked.
//! - 3: what was named (bucket, key, upload, version) does not exist.
//! - 4: no answer: the server does not run, the address is wrong, or TLS failed.
//!
//! Invariants
//! - Text that clients of the store chose (keys, bucket names) reaches a terminal with its control
//!   characters escaped.
//! - The secret leaves in the request alone: it is in no message.
//!
//! Not here: where the credentials come from. The binary finds them and hands them in.

mod buckets;
mod command;
mod disk;
mod doctor;
mod drain;
mod http_transport;
mod lock;
mod mfa;
mod pinned;
mod place;
mod progress;
mod show;
mod simulate;
mod status;
mod target;
mod tls;
mod top;
mod upkeep;
mod uploads;
mod zone;
mod zone_drain;

use strongroom_admin_api::{ApiError, Client, ErrorCode};

pub use command::{Command, Connect};
pub use target::{Endpoint, Target, Trust};

use crate::http_transport::HttpTransport;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A flag is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The server refused or failed: exit code 1, or 3 when what was named does not exist.
    #[error("{}", refusal(.0))]
    Refused(#[from] ApiError),
    /// No answer: exit code 4.
    #[error("{0}")]
    NoAnswer(String),
}

impl CliError {
    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(error) if error.code.is_missing() => 3,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::NoAnswer(_) => 4,
        }
    }
}

fn refusal(error: &ApiError) -> String {
    match error.code {
        ErrorCode::Unauthorized => {
            "the server refuses the credentials: use those it was started with".to_owned()
        }
        _ => show::escaped(&error.message),
    }
}

/// The calls of the server a command was pointed at.
type Admin = Client<HttpTransport>;

/// What a command prints, and what the process ends with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub text: String,
    /// 0 but for commands that say by it what they found.
    pub exit_code: u8,
}

/// Runs a command and gives what it prints.
///
/// # Errors
/// Each with its exit code.
pub fn run(command: &Command, target: &Target) -> Result<Answer, CliError> {
    let admin = Client::new(HttpTransport::new(target)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::NoAnswer(format!("cannot start: {error}")))?;
    let json = command.connect().json;
    runtime.block_on(async {
        let text = match command {
            Command::Doctor(flags) => return doctor::doctor(&admin, flags).await,
            Command::Simulate(flags) => return simulate::simulate(&admin, flags).await,
            Command::Top(flags) => top::top(&admin, flags).await,
            Command::Status(_) => status::status(&admin, json).await,
            Command::Zones(_) => status::zones(&admin, json).await,
            Command::Disks(_) => status::disks(&admin, json).await,
            Command::Disk(flags) => disk::disk(&admin, flags).await,
            Command::Zone(flags) => zone::zone(&admin, flags).await,
            Command::Buckets(flags) => buckets::buckets(&admin, flags).await,
            Command::Bucket(flags) => buckets::bucket(&admin, flags).await,
            Command::Uploads(flags) => uploads::uploads(&admin, flags).await,
            Command::Where(flags) => place::place(&admin, flags).await,
            Command::Lock(command) => lock::lock(&admin, command).await,
            Command::Mfa(flags) => mfa::mfa(&admin, flags).await,
            Command::Scrub(flags) => upkeep::scrub(&admin, flags).await,
            Command::Repair(flags) => upkeep::repair(&admin, flags).await,
        };
        text.map(|text| Answer { text, exit_code: 0 })
    })
}

/// An answer as JSON.
fn json_text(answer: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(answer).expect("an answer is plain data") + "\n"
}
