//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::Layer;

/// S3-compatible object storage whose first concern is that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, disable_help_subcommand = true, after_help = CODES_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the store
    #[command(after_long_help = SERVER_HELP, after_help = SERVER_HELP)]
    Server(Box<ServerFlags>),
    /// What is asked of a running store
    #[command(flatten)]
    Admin(Box<strongroom_cli::Command>),
    /// Print the version
    Version,
}

/// What `strongroom server` takes.
#[derive(Debug, Args)]
pub struct ServerFlags {
    /// Settings file in TOML; each setting below by its name, for example member_wait = "10s"
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub settings: Layer,
}

const CODES_HELP: &str = "\
Exit codes: 0 done; 1 refused or failed; 2 a flag or setting is wrong; 3 what was named does not
exist; 4 the server gave no answer.";

const SERVER_HELP: &str = "\
Every setting can also stand in the environment (STRONGROOM_MEMBER_WAIT=10s; several zones stand
apart by semicolons) or in the settings file. A flag wins over the environment, the environment
over the file. A name that is not known stops the start.

The root credentials are STRONGROOM_ACCESS_KEY and STRONGROOM_SECRET_KEY, or the first lines of the
files named by STRONGROOM_ACCESS_KEY_FILE and STRONGROOM_SECRET_KEY_FILE, or MINIO_ROOT_USER and
MINIO_ROOT_PASSWORD. Where none are given, they are drawn at the first start.

More accounts stand in the settings file, each a table [[account]] with its id and keys. An account
reaches its own buckets only. See docs/operations/accounts.md.

SIGHUP reads the TLS certificates and the accounts again.

Examples:
  strongroom server
  strongroom server --tls-development
  strongroom server --data /srv/strongroom --address 0.0.0.0:9000
  strongroom server --zone a=/mnt/a1,/mnt/a2 --zone b=/mnt/b1,/mnt/b2 --zone c=/mnt/c1,/mnt/c2";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn zones_repeat_and_metrics_open_needs_no_value() {
        let line = [
            "strongroom",
            "server",
            "--zone",
            "a=/x,/y",
            "--zone",
            "b=/z",
            "--metrics-open",
        ];
        let Command::Server(flags) = Cli::try_parse_from(line).unwrap().command else {
            panic!("server was asked for")
        };
        assert_eq!(flags.settings.zone.unwrap().len(), 2);
        assert_eq!(flags.settings.metrics_open, Some(true));
    }
}
