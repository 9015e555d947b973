//! What `doctor` takes.

use std::time::Duration;

use clap::Args;

use crate::command::{Connect, age};

/// What `doctor` takes.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Share of disks that die in a year, as 1.5% or 0.015
    #[arg(long, value_name = "SHARE", default_value = "1.5%", value_parser = share)]
    pub afr: f64,
    /// Time from the death of a disk to full redundancy, with the wait for a new one (4h, 3d)
    /// [default: --disk-wait and the time by the measured rate of repair; 24h when none was measured]
    #[arg(long, value_name = "TIME", value_parser = repair_time)]
    pub repair_time: Option<Duration>,
    /// Time from the death of a disk to a blank one in its place
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = age)]
    pub disk_wait: Duration,
    /// Share of zones destroyed with all their disks in a year
    #[arg(long, value_name = "SHARE", default_value = "0.1%", value_parser = share)]
    pub zone_loss: f64,
    /// Time from the destruction of a zone to full redundancy
    #[arg(long, value_name = "TIME", default_value = "72h", value_parser = repair_time)]
    pub zone_repair_time: Duration,
    #[command(flatten)]
    pub connect: Connect,
}

/// A share from 0 to less than 1, with or without a per cent sign.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let bad = || format!("`{text}` is no share: write 1.5% or 0.015, less than 100%");
    let (number, divisor) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let plain = number
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.' || b == b'e' || b == b'-');
    let value: f64 = number.parse().map_err(|_| bad())?;
    let value = value / divisor;
    if plain && (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        Err(bad())
    }
}

fn repair_time(text: &str) -> Result<Duration, String> {
    match age(text)? {
        Duration::ZERO => Err("a repair takes time: write 4h or 3d".to_owned()),
        time => Ok(time),
    }
}
