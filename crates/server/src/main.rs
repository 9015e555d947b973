//! The binary: read the settings, choose the backends, wire, start, drain, stop.
//!
//! Nothing of the store's behaviour is here. What is here must fail well: a start that cannot go on
//! says so in one sentence that tells the operator what to do (exit code 2 for settings, 1 for the
//! rest, and what `strongroom-cli` says for its commands), and a stop lets requests in progress end.

mod access_log;
mod admin_command;
mod admission_metrics;
mod app;
mod cli;
mod count_stream;
mod credentials;
mod devices;
mod disk_changes;
mod figure;
mod front;
mod http_port;
mod lock_metrics;
mod logging;
mod packing;
mod port_metrics;
mod ports;
mod private_file;
mod refusal;
mod reload;
mod request_metrics;
mod screen;
mod server_command;
mod settings;
mod space;
mod store_metrics;
mod survives;
mod tls;
mod upkeep;
mod wire;
mod zone_locks;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::settings::BadSettings;

/// Requests allocate on one thread and release on another, which the allocator of the C library pays
/// for with locks: a tenth of the processor time of small operations (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the program ends without having done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong: exit code 2.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// A command that asks a running server failed: the exit code it says.
    #[error(transparent)]
    Asked(#[from] strongroom_cli::CliError),
    /// Anything else, as a sentence: exit code 1.
    #[error("{0}")]
    Run(String),
}

fn main() -> ExitCode {
    let outcome = match cli::Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
            _ => Err(BadSettings(flag_sentence(&error)).into()),
        },
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "strongroom: {failure}");
            match failure {
                Failure::Settings(_) => ExitCode::from(2),
                Failure::Asked(error) => ExitCode::from(error.exit_code()),
                Failure::Run(_) => ExitCode::from(1),
            }
        }
    }
}

fn run(command: cli::Command) -> Result<ExitCode, Failure> {
    match command {
        cli::Command::Server(flags) => server_command::run(*flags).map(|()| ExitCode::SUCCESS),
        cli::Command::Admin(command) => admin_command::run(&command),
        cli::Command::Version => {
            let _ = writeln!(
                std::io::stdout(),
                "strongroom {}",
                env!("CARGO_PKG_VERSION")
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What is wrong with the command line, in one sentence.
fn flag_sentence(error: &clap::Error) -> String {
    let (flag, reason) = settings::clap_reason(error);
    if error.kind() == ErrorKind::UnknownArgument {
        return match error.get(ContextKind::SuggestedArg) {
            Some(ContextValue::String(near)) => {
                format!("unknown flag {flag}: did you mean {near}?")
            }
            _ => format!("unknown flag {flag}: `strongroom --help` lists what there is"),
        };
    }
    if flag.is_empty() {
        format!("{reason}; see `strongroom --help`")
    } else {
        format!("{flag}: {reason}")
    }
}
