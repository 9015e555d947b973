//! Log lines, on standard error: text for people on a terminal, JSON for collectors.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// Libraries that log their own workings at `info`, or at `error` what is a client's mistake and is
/// handled by us. The operator's directives come after these and win.
const LIBRARIES: &str = "fjall=warn,lsm_tree=warn,s3s=off";

/// Starts logging for the process. Called once.
pub fn start(settings: &Settings) {
    let filter = EnvFilter::new(format!("{LIBRARIES},{}", settings.log));
    let json = match settings.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init();
    } else {
        builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .init();
    }
}
