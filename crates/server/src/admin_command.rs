//! The commands that ask a running server: finds where it is and its credentials, then hands over.

use std::io::Write;
use std::process::ExitCode;

use strongroom_cli::{Command, Connect, Endpoint, Target, Trust};

use crate::Failure;
use crate::credentials;
use crate::screen::reachable;
use crate::settings::{BadSettings, Layer, Settings, process_environment};

/// Runs the command. What the process ends with.
///
/// # Errors
/// Wrong settings; what the command ends with.
pub fn run(command: &Command) -> Result<ExitCode, Failure> {
    let environment = process_environment();
    let connect = command.connect();
    let settings = Settings::resolve(layer(connect)?, connect.config.as_deref(), &environment)?;
    let (root, _) = credentials::load(&settings, &environment, None)?;
    let target = Target {
        endpoint: connect
            .endpoint
            .clone()
            .unwrap_or_else(|| own(&settings, connect)),
        trust: trust(&settings, connect),
        access_key: root.access_key,
        secret_key: root.secret_key,
    };
    if !target.endpoint.tls && !target.endpoint.is_local() {
        let _ = writeln!(
            std::io::stderr(),
            "strongroom: the credentials travel to {} unencrypted",
            target.endpoint
        );
    }
    let answer = strongroom_cli::run(command, &target)?;
    // Whoever reads may have gone away, as `head` does.
    let _ = std::io::stdout().write_all(answer.text.as_bytes());
    Ok(ExitCode::from(answer.exit_code))
}

/// The port of the server with these settings. It speaks TLS when the settings or the flags name
/// what proves it.
fn own(settings: &Settings, connect: &Connect) -> Endpoint {
    let tls = connect.ca.is_some()
        || connect.tls_certificate.is_some()
        || settings.tls.admin_certificate().is_some();
    Endpoint::at(reachable(settings.admin_address), tls)
}

/// What proves that it is the server meant. That of the settings counts for their own port alone.
fn trust(settings: &Settings, connect: &Connect) -> Trust {
    let named = connect.tls_certificate.clone();
    let own = || match connect.endpoint {
        Some(_) if !connect.tls_development => None,
        _ => settings.tls.admin_certificate(),
    };
    match (&connect.ca, named.or_else(own)) {
        (Some(ca), _) => Trust::Authorities(ca.clone()),
        (None, Some(certificate)) => Trust::Certificate(certificate),
        (None, None) => Trust::Machine,
    }
}

/// The flags as a layer of settings.
fn layer(connect: &Connect) -> Result<Layer, BadSettings> {
    let address = connect.admin_address.as_deref().map(str::parse);
    let address = address.transpose();
    Ok(Layer {
        data: connect.data.clone(),
        admin_address: address.map_err(|error| BadSettings(format!("--admin-address: {error}")))?,
        credentials: connect.credentials.clone(),
        tls_development: connect.tls_development.then_some(true),
        ..Layer::default()
    })
}
