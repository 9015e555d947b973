//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::{Layer, ListenAddress};

/// S3-compatible object storage whose first concern is that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the store
    #[command(after_long_help = SERVER_HELP, after_help = SERVER_HELP)]
    Server(Box<ServerFlags>),
    /// Ask a running store how it is
    Status(StatusFlags),
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

/// What `strongroom status` takes.
#[derive(Debug, Args)]
pub struct StatusFlags {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings file of the server
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder of the server, for its credentials [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of the administration port [default: 127.0.0.1:9001]
    #[arg(long, value_name = "HOST:PORT")]
    pub admin_address: Option<ListenAddress>,
    /// Certificate that the administration port presents, when it speaks TLS
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// The server was started with --tls-development
    #[arg(long)]
    pub tls_development: bool,
    /// File with the root credentials
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
}

impl StatusFlags {
    /// The flags as a layer of settings.
    #[must_use]
    pub fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            admin_address: self.admin_address,
            credentials: self.credentials.clone(),
            tls_development: self.tls_development.then_some(true),
            ..Layer::default()
        }
    }
}

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
