//! Settings: what an operator may choose, as plain data, checked once.
//!
//! Each setting has one name and one text form on the command line (`--member-wait 10s`), in the
//! environment (`STRONGROOM_MEMBER_WAIT=10s`) and in the file (`member_wait = "10s"`). A flag wins
//! over the environment, the environment over the file, the file over the default written here.
//!
//! Invariants
//! - A setting we do not know stops the start by name; none is ever ignored.
//! - Past [`Settings::resolve`] no value needs checking again.
//! - Relative paths are relative to the working directory, whichever source they come from.

mod accounts;
mod domains;
mod sources;
mod text;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use strongroom_s3_front::AdmissionLimits;
use strongroom_s3_front::admission::UPLOAD_MEMORY_BYTES_MAX;

pub use accounts::Accounts;
pub use sources::{Environment, clap_reason, process_environment};
pub use text::{ListenAddress, LogFormat, Size, Span, Zone};
pub use tls::TlsSettings;

/// Zones inside the data folder when none are named.
const ZONE_NAMES_DEFAULT: [&str; 3] = ["z1", "z2", "z3"];
/// Most folders of a store. A batch header names the members in service in 64 bits.
const FOLDER_COUNT_MAX: usize = 64;
/// Most connections a port may be set to hold: each costs two descriptors and some 10 KiB.
const CONNECTIONS_MAX_MAX: u32 = 100_000;

/// Most buckets `/metrics` may be set to show: each is five series to keep for whoever scrapes.
const METRICS_BUCKETS_MAX_MAX: u32 = 10_000;

/// Why the settings are refused: one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub String);

/// What one source says. Every setting, none of them required.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Folder that holds three zones, z1, z2 and z3, and the credentials [default:
    /// ./strongroom-data]
    #[arg(long, value_name = "DIR", help_heading = "Where the data is")]
    pub data: Option<PathBuf>,
    /// A zone and the folder of each of its disks; repeat it for each zone. Instead of --data
    #[arg(
        long,
        value_name = "NAME=DIR[,DIR...]",
        help_heading = "Where the data is"
    )]
    pub zone: Option<Vec<Zone>>,

    /// Address of the S3 port [default: 127.0.0.1:9000]
    #[arg(long, value_name = "HOST:PORT", help_heading = "How it is reached")]
    pub address: Option<ListenAddress>,
    /// Address of the administration port: health, metrics, status [default: 127.0.0.1:9001]
    #[arg(long, value_name = "HOST:PORT", help_heading = "How it is reached")]
    pub admin_address: Option<ListenAddress>,
    /// Region that clients sign for [default: us-east-1]
    #[arg(long, value_name = "NAME", help_heading = "How it is reached")]
    pub region: Option<String>,
    /// Domain below which host names are buckets served as websites: BUCKET.DOMAIN. No websites
    /// without
    #[arg(long, value_name = "DOMAIN", help_heading = "How it is reached")]
    pub website_domain: Option<String>,
    /// Domain below which host names are buckets, so that clients may use virtual-hosted addresses:
    /// with s3.example.com, photos.s3.example.com is the bucket photos. Path-style addresses work
    /// either way
    #[arg(long, value_name = "NAME", help_heading = "How it is reached")]
    pub domain: Option<String>,
    /// Most connections held at once on the S3 port; more wait to be accepted [default: 4096]
    #[arg(long, value_name = "COUNT", help_heading = "How it is reached")]
    pub connections_max: Option<u32>,
    /// Certificate chain in PEM with which both ports speak TLS; plain HTTP without. Read again when
    /// it changes
    #[arg(long, value_name = "FILE", help_heading = "How it is reached")]
    pub tls_certificate: Option<PathBuf>,
    /// Key of the certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "How it is reached")]
    pub tls_key: Option<PathBuf>,
    /// Certificate chain of the administration port, where it has one of its own
    #[arg(long, value_name = "FILE", help_heading = "How it is reached")]
    pub admin_tls_certificate: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE", help_heading = "How it is reached")]
    pub admin_tls_key: Option<PathBuf>,
    /// Speak TLS with a certificate made at the start, to try things out: beside the credentials,
    /// with the authority that clients are told to trust
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "How it is reached")]
    pub tls_development: Option<bool>,
    /// Most reads in progress; more wait a moment and are then answered 503 SlowDown [default: 1024]
    #[arg(long, value_name = "COUNT", help_heading = "How it is reached")]
    pub reads_max: Option<u32>,
    /// Most writes in progress, in the same way [default: 512]
    #[arg(long, value_name = "COUNT", help_heading = "How it is reached")]
    pub writes_max: Option<u32>,
    /// Most lists in progress, in the same way [default: 128]
    #[arg(long, value_name = "COUNT", help_heading = "How it is reached")]
    pub lists_max: Option<u32>,
    /// Most memory that uploads in progress may hold, in the same way [default: 1GiB]
    #[arg(long, value_name = "SIZE", help_heading = "How it is reached")]
    pub upload_memory_max: Option<Size>,
    /// Show /metrics to whoever reaches the administration port, without credentials
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "How it is reached")]
    pub metrics_open: Option<bool>,

    /// How many buckets, in the order of their names, /metrics shows the usage of; 0 for none
    /// [default: 100]
    #[arg(long, value_name = "COUNT", help_heading = "How it is reached")]
    pub metrics_buckets_max: Option<u32>,

    /// File for generated root credentials, outside all zones [default: credentials in the data
    /// folder; with --zone, strongroom-credentials beside the settings file or else in the working
    /// directory]
    #[arg(long, value_name = "FILE", help_heading = "Who owns it")]
    pub credentials: Option<PathBuf>,
    /// File whose first line is the root access key
    #[arg(long, value_name = "FILE", help_heading = "Who owns it")]
    pub access_key_file: Option<PathBuf>,
    /// File whose first line is the root secret key
    #[arg(long, value_name = "FILE", help_heading = "Who owns it")]
    pub secret_key_file: Option<PathBuf>,

    /// How long a start waits for zones that were in service before it goes on without them
    /// [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub member_wait: Option<Span>,
    /// How long a write may wait for its commit before it is answered 503 [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub commit_deadline: Option<Span>,
    /// How long the bytes of deleted objects are kept before their space is given back; less while
    /// disks are nearly full [default: 24h]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub hold_back: Option<Span>,
    /// Most bytes of deleted objects that are kept; the oldest go early [default: a tenth of the
    /// smallest disk]
    #[arg(long, value_name = "SIZE", help_heading = "How it behaves")]
    pub hold_back_size: Option<Size>,
    /// Time in which everything that is stored is read once and checked [default: 14d]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub scrub_period: Option<Span>,
    /// Size of the commit log that starts the packing of small objects: they move out of it, and the
    /// log below is given back [default: 256MiB]
    #[arg(long, value_name = "SIZE", help_heading = "How it behaves")]
    pub pack_log_size: Option<Size>,
    /// How long requests in progress may take to end once the server is told to stop
    /// [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub drain_deadline: Option<Span>,

    /// How long a connection may stay idle between requests [default: 60s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub idle_max: Option<Span>,
    /// How long a request's head may take from its first byte before it is answered 400
    /// RequestTimeout [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub head_deadline: Option<Span>,
    /// How long a client may take nothing of an answer before its connection is cut [default: 60s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub send_idle_max: Option<Span>,
    /// How long the body of a request may send nothing before the request is answered 400
    /// RequestTimeout [default: 60s]
    #[arg(long, value_name = "TIME", help_heading = "How it behaves")]
    pub body_idle_max: Option<Span>,

    /// Which log lines are written: off, error, warn, info, debug, trace, or directives like
    /// info,strongroom_zones=debug [default: info]
    #[arg(long, value_name = "FILTER", help_heading = "How it behaves")]
    pub log: Option<String>,
    /// File with a line for every request of the S3 port, in the format of S3's server access logs;
    /// - is standard output [default: none]
    #[arg(long, value_name = "FILE", help_heading = "How it behaves")]
    pub access_log: Option<PathBuf>,
    /// How log lines look: text, json, or auto (text on a terminal, json elsewhere)
    /// [default: auto]
    #[arg(long, value_name = "FORMAT", help_heading = "How it behaves")]
    pub log_format: Option<LogFormat>,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At least one, with distinct names and folders.
    pub zones: Vec<Zone>,
    /// Where the S3 port listens.
    pub address: SocketAddr,
    /// Where the administration port listens.
    pub admin_address: SocketAddr,
    /// What clients sign for.
    pub region: String,
    pub website_domain: Option<String>,
    /// Below which host names are buckets.
    pub domain: Option<String>,
    /// Most connections of the S3 port.
    pub connections_max: usize,
    /// What is done at once.
    pub limits: AdmissionLimits,
    /// With what the ports speak TLS.
    pub tls: TlsSettings,
    /// Whether `/metrics` needs no credentials.
    pub metrics_open: bool,
    /// How many buckets `/metrics` shows.
    pub metrics_buckets_max: usize,
    /// Where generated credentials are kept; in no zone.
    pub credentials: PathBuf,
    /// File with the access key.
    pub access_key_file: Option<PathBuf>,
    /// File with the secret key.
    pub secret_key_file: Option<PathBuf>,
    /// How long recovery waits for absent zones.
    pub member_wait: Duration,
    /// How long a commit may wait.
    pub commit_deadline: Duration,
    /// How long deleted bytes are kept.
    pub hold_back: Duration,
    /// How many are kept at most.
    pub hold_back_size: Option<u64>,
    /// Time in which everything is read once.
    pub scrub_period: Duration,
    /// Size of the log that starts packing.
    pub pack_log_size_bytes: u64,
    /// How long a drain may take.
    pub drain_deadline: Duration,
    /// How long a connection may be idle between requests.
    pub idle_max: Duration,
    /// How long a request's head may take.
    pub head_deadline: Duration,
    /// How long a client may take nothing of its answer.
    pub send_idle_max: Duration,
    /// How long a request's body may send nothing.
    pub body_idle_max: Duration,
    /// The settings file, if there is one: accounts are read from it.
    pub config: Option<PathBuf>,
    /// Where requests are logged: a file, or `-`.
    pub access_log: Option<PathBuf>,
    /// Log filter.
    pub log: String,
    /// Log format.
    pub log_format: LogFormat,
}

impl Settings {
    /// Puts flags over environment over file over defaults, and checks the outcome.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn resolve(
        flags: Layer,
        config: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, BadSettings> {
        let variable = environment.get("STRONGROOM_CONFIG").map(PathBuf::from);
        let config = config.map(Path::to_path_buf).or(variable);
        let file = match &config {
            Some(path) => sources::layer_from_file(path)?,
            None => Layer::default(),
        };
        let layers = [
            ("the command line", flags),
            (
                "the environment",
                sources::layer_from_environment(environment)?,
            ),
            ("the settings file", file),
        ];
        for (source, layer) in &layers {
            if layer.data.is_some() && layer.zone.is_some() {
                return Err(BadSettings(format!(
                    "{source} names both data and zone: give the one or the other"
                )));
            }
        }
        let [(_, flags), (_, variables), (_, file)] = layers;
        Self::from_layer(flags.over(variables).over(file), config.as_deref())
    }

    fn from_layer(layer: Layer, config: Option<&Path>) -> Result<Self, BadSettings> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let seconds =
            |span: Option<Span>, default| span.map_or(Duration::from_secs(default), |span| span.0);
        let credentials = layer
            .credentials
            .clone()
            .unwrap_or_else(|| match &layer.zone {
                None => layer.data_folder().join("credentials"),
                Some(_) => config
                    .and_then(Path::parent)
                    .unwrap_or(Path::new(""))
                    .join("strongroom-credentials"),
            });
        let settings = Self {
            tls: TlsSettings::from_layer(&layer, &credentials)?,
            zones: layer.zones(),
            address: layer.address.map_or(loopback(9000), |address| address.0),
            admin_address: layer
                .admin_address
                .map_or(loopback(9001), |address| address.0),
            region: layer.region.unwrap_or_else(|| "us-east-1".to_owned()),
            website_domain: layer.website_domain,
            domain: layer.domain,
            connections_max: layer.connections_max.unwrap_or(4096) as usize,
            limits: AdmissionLimits {
                reads_max: layer.reads_max.unwrap_or(1024) as usize,
                writes_max: layer.writes_max.unwrap_or(512) as usize,
                lists_max: layer.lists_max.unwrap_or(128) as usize,
                upload_memory_bytes_max: layer.upload_memory_max.map_or(1 << 30, |size| size.0),
            },
            metrics_open: layer.metrics_open.unwrap_or(false),
            metrics_buckets_max: layer.metrics_buckets_max.unwrap_or(100) as usize,
            credentials,
            access_key_file: layer.access_key_file,
            secret_key_file: layer.secret_key_file,
            member_wait: seconds(layer.member_wait, 10),
            commit_deadline: seconds(layer.commit_deadline, 10),
            hold_back: seconds(layer.hold_back, 24 * 3600),
            hold_back_size: layer.hold_back_size.map(|size| size.0),
            scrub_period: seconds(layer.scrub_period, 14 * 24 * 60 * 60),
            pack_log_size_bytes: layer
                .pack_log_size
                .map_or(strongroom_workers::pack::LOG_SIZE_BYTES_DEFAULT, |size| {
                    size.0
                }),
            drain_deadline: seconds(layer.drain_deadline, 30),
            idle_max: seconds(layer.idle_max, 60),
            head_deadline: seconds(layer.head_deadline, 30),
            send_idle_max: seconds(layer.send_idle_max, 60),
            body_idle_max: layer
                .body_idle_max
                .map_or(strongroom_s3_front::body::shared::BODY_IDLE_MAX, |span| {
                    span.0
                }),
            config: config.map(Path::to_path_buf),
            access_log: layer.access_log,
            log: layer.log.unwrap_or_else(|| "info".to_owned()),
            log_format: layer.log_format.unwrap_or(LogFormat::Auto),
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), BadSettings> {
        self.check_folders()?;
        let bad = |text: String| Err(BadSettings(text));
        if self.address == self.admin_address && self.address.port() != 0 {
            return bad(format!(
                "address and admin_address are both {}: give them different ports",
                self.address
            ));
        }
        let is_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.region.is_empty() || self.region.len() > 64 || !self.region.chars().all(is_region) {
            return bad(format!(
                "region is `{}`: use up to 64 lowercase letters, digits and hyphens",
                self.region
            ));
        }
        domains::check(self.domain.as_deref(), self.website_domain.as_deref())?;
        let connections_max = CONNECTIONS_MAX_MAX as usize;
        if self.connections_max == 0 || self.connections_max > connections_max {
            return bad(format!(
                "connections_max is {}: use a number from 1 to {CONNECTIONS_MAX_MAX}",
                self.connections_max
            ));
        }
        if self.metrics_buckets_max > METRICS_BUCKETS_MAX_MAX as usize {
            return bad(format!(
                "metrics_buckets_max is {}: use a number from 0 to {METRICS_BUCKETS_MAX_MAX}",
                self.metrics_buckets_max
            ));
        }
        self.check_limits()?;
        if self.scrub_period < Duration::from_secs(60 * 60) {
            return bad("scrub_period is below an hour: give it time, such as 14d".to_owned());
        }
        if self.pack_log_size_bytes < strongroom_workers::pack::LOG_SIZE_BYTES_MIN {
            return bad(
                "pack_log_size is too small for a round to pay: use at least 1MiB".to_owned(),
            );
        }
        if self.commit_deadline.is_zero() {
            return bad("commit_deadline is zero: give writes some time, such as 10s".to_owned());
        }
        for (name, patience) in [
            ("idle_max", self.idle_max),
            ("head_deadline", self.head_deadline),
            ("send_idle_max", self.send_idle_max),
            ("body_idle_max", self.body_idle_max),
        ] {
            if patience.is_zero() {
                return bad(format!(
                    "{name} is zero: give clients some time, such as 60s"
                ));
            }
        }
        if !is_log_filter(&self.log) {
            return bad(format!(
                "log is `{}`: write a level such as info, or directives such as \
                 info,strongroom_zones=debug",
                self.log
            ));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), BadSettings> {
        for (name, count) in [
            ("reads_max", self.limits.reads_max),
            ("writes_max", self.limits.writes_max),
            ("lists_max", self.limits.lists_max),
        ] {
            if count == 0 || count > CONNECTIONS_MAX_MAX as usize {
                return Err(BadSettings(format!(
                    "{name} is {count}: use a number from 1 to {CONNECTIONS_MAX_MAX}"
                )));
            }
        }
        if self.limits.upload_memory_bytes_max < UPLOAD_MEMORY_BYTES_MAX {
            return Err(BadSettings(
                "upload_memory_max is less than one upload needs: use at least 8MiB".to_owned(),
            ));
        }
        Ok(())
    }

    /// Names and folders are distinct, none lies in another, and no file of another kind lies in one.
    fn check_folders(&self) -> Result<(), BadSettings> {
        let bad = |text: String| Err(BadSettings(text));
        let mut folders: Vec<(&str, PathBuf)> = Vec::new();
        for (index, zone) in self.zones.iter().enumerate() {
            if self.zones[..index]
                .iter()
                .any(|other| other.name == zone.name)
            {
                return bad(format!(
                    "zone {} is named twice: name it once, with all its folders after commas",
                    zone.name
                ));
            }
            for folder in &zone.folders {
                let path = absolute(folder)?;
                for (other_zone, other) in &folders {
                    if path.starts_with(other) || other.starts_with(&path) {
                        return bad(format!(
                            "the folder {} of zone {} lies in the folder {} of zone {other_zone}: \
                             give each disk a folder of its own",
                            path.display(),
                            zone.name,
                            other.display(),
                        ));
                    }
                }
                folders.push((&zone.name, path));
            }
        }
        if folders.is_empty() || folders.len() > FOLDER_COUNT_MAX {
            return bad(format!(
                "the zones have {} folders: name 1 to {FOLDER_COUNT_MAX}",
                folders.len()
            ));
        }
        let refuse = |what: &str, path: &Path, setting: &str| {
            let path = absolute(path)?;
            match folders.iter().find(|(_, folder)| path.starts_with(folder)) {
                Some((zone, _)) => bad(format!(
                    "the {what} {} lies in zone {zone}: set {setting} to a path outside the zones",
                    path.display()
                )),
                None => Ok(()),
            }
        };
        refuse("credentials file", &self.credentials, "credentials")?;
        match &self.access_log {
            // A dash is standard output.
            Some(path) if path.as_os_str() != "-" => refuse("access log", path, "access_log"),
            _ => Ok(()),
        }
    }
}

impl Layer {
    /// This layer, with `below` where it says nothing. Where the data is counts as one setting.
    fn over(self, below: Self) -> Self {
        let placed = self.data.is_some() || self.zone.is_some();
        Self {
            data: if placed { self.data } else { below.data },
            zone: if placed { self.zone } else { below.zone },
            address: self.address.or(below.address),
            admin_address: self.admin_address.or(below.admin_address),
            region: self.region.or(below.region),
            domain: self.domain.or(below.domain),
            website_domain: self.website_domain.or(below.website_domain),
            connections_max: self.connections_max.or(below.connections_max),
            tls_certificate: self.tls_certificate.or(below.tls_certificate),
            tls_key: self.tls_key.or(below.tls_key),
            admin_tls_certificate: self.admin_tls_certificate.or(below.admin_tls_certificate),
            admin_tls_key: self.admin_tls_key.or(below.admin_tls_key),
            tls_development: self.tls_development.or(below.tls_development),
            reads_max: self.reads_max.or(below.reads_max),
            writes_max: self.writes_max.or(below.writes_max),
            lists_max: self.lists_max.or(below.lists_max),
            upload_memory_max: self.upload_memory_max.or(below.upload_memory_max),
            metrics_open: self.metrics_open.or(below.metrics_open),
            metrics_buckets_max: self.metrics_buckets_max.or(below.metrics_buckets_max),
            credentials: self.credentials.or(below.credentials),
            access_key_file: self.access_key_file.or(below.access_key_file),
            secret_key_file: self.secret_key_file.or(below.secret_key_file),
            member_wait: self.member_wait.or(below.member_wait),
            commit_deadline: self.commit_deadline.or(below.commit_deadline),
            hold_back: self.hold_back.or(below.hold_back),
            hold_back_size: self.hold_back_size.or(below.hold_back_size),
            scrub_period: self.scrub_period.or(below.scrub_period),
            pack_log_size: self.pack_log_size.or(below.pack_log_size),
            drain_deadline: self.drain_deadline.or(below.drain_deadline),
            idle_max: self.idle_max.or(below.idle_max),
            head_deadline: self.head_deadline.or(below.head_deadline),
            send_idle_max: self.send_idle_max.or(below.send_idle_max),
            body_idle_max: self.body_idle_max.or(below.body_idle_max),
            access_log: self.access_log.or(below.access_log),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
        }
    }

    fn data_folder(&self) -> PathBuf {
        self.data
            .clone()
            .unwrap_or_else(|| PathBuf::from("strongroom-data"))
    }

    fn zones(&self) -> Vec<Zone> {
        self.zone.clone().unwrap_or_else(|| {
            let data = self.data_folder();
            let zone = |name: &str| Zone {
                name: name.to_owned(),
                folders: vec![data.join(name)],
            };
            ZONE_NAMES_DEFAULT.map(zone).to_vec()
        })
    }
}

/// Whether each directive ends in a level. A bare word that is none would be taken for a module and
/// would silence the rest.
fn is_log_filter(text: &str) -> bool {
    text.split(',').all(|directive| {
        let level = directive.rsplit('=').next().unwrap_or(directive);
        level
            .parse::<tracing_subscriber::filter::LevelFilter>()
            .is_ok()
            && directive
                .parse::<tracing_subscriber::filter::Directive>()
                .is_ok()
    })
}

/// The path from the root, with `.` and `..` resolved as text: the folder may not exist yet.
fn absolute(path: &Path) -> Result<PathBuf, BadSettings> {
    use std::path::Component;
    let path = std::path::absolute(path).map_err(|error| {
        BadSettings(format!(
            "`{}` is not a path ({error}): name a folder",
            path.display()
        ))
    })?;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests;
