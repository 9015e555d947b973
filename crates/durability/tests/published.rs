//! The published table is what the model computes, to the printed digits; and the model agrees with
//! what can be computed by hand.

use strongroom_durability::{
    Assumptions, ELEVEN_NINES, HOURS_PER_YEAR, Layout, loss_per_year, nines, zone_losses_tolerated,
};

const PAGE: &str = include_str!("../../../docs/durability.md");
/// Rows of the published table.
const ROW_COUNT: usize = 27;

fn layout(k: u32, m: u32, zones: u32, shards: u32) -> Layout {
    Layout::new(k, m, zones, shards).unwrap()
}

fn cell(layout: Layout, assumptions: &Assumptions) -> String {
    let loss = loss_per_year(layout, assumptions).unwrap();
    format!("{} ({:4.1})", scientific(loss), nines(loss).unwrap())
}

/// `1.2e-05`, as the table prints it.
fn scientific(value: f64) -> String {
    let text = format!("{value:.1e}");
    let (digits, exponent) = text.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn survives(layout: Layout) -> String {
    let found = layout.survives();
    let count = |number: u32, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts = [count(found.zones, "zone"), count(found.disks, "disk")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" + ")
}

/// The cells of a row of the table, with its layout.
fn row(line: &str) -> Option<(Layout, Vec<&str>)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let (k, m) = cells.get(1)?.split_once('+')?;
    let (zones, shards) = cells.get(2)?.split_once(" x ")?;
    let number = |text: &str| text.parse::<u32>().ok();
    let layout = layout(number(k)?, number(m)?, number(zones)?, number(shards)?);
    Some((layout, cells[3..cells.len() - 1].to_vec()))
}

// AZ30
#[test]
fn the_published_table_is_what_the_model_computes_to_the_printed_digits() {
    let rows: Vec<_> = PAGE.lines().filter_map(row).collect();
    assert_eq!(rows.len(), ROW_COUNT);
    for (layout, cells) in rows {
        let tolerated =
            zone_losses_tolerated(layout, &Assumptions::DISKS_ONLY, ELEVEN_NINES).unwrap();
        let computed = [
            format!("{:.0}%", layout.overhead() * 100.0),
            survives(layout),
            cell(layout, &Assumptions::DISKS_ONLY),
            cell(layout, &Assumptions::ZONES_TOO),
            cell(layout, &Assumptions::FAST_REPAIR),
            cell(layout, &Assumptions::BAD_YEAR),
            tolerated.map_or("never".to_owned(), scientific),
        ];
        assert_eq!(cells, computed, "{layout:?}");
    }
}

#[test]
fn copies_of_the_index_have_the_nines_the_page_says() {
    let copies = |m: u32, zones: u32, shards: u32| {
        let layout = layout(1, m, zones, shards);
        let loss = loss_per_year(layout, &Assumptions::ZONES_TOO).unwrap();
        format!("{:.1}", nines(loss).unwrap())
    };
    assert_eq!(copies(2, 3, 1), "9.9");
    assert_eq!(copies(5, 3, 2), "12.7");
    assert_eq!(copies(4, 5, 1), "18.3");
    assert_eq!(Layout::copies(3).unwrap(), layout(1, 2, 3, 1));
}

#[test]
fn disks_alone_agree_with_the_formula_computed_by_hand() {
    // T n!/(k-1)!/m! lambda^(m+1) / mu^m, for lambda much smaller than mu.
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    for (k, m, zones, shards) in [(1, 2, 3, 1), (3, 3, 3, 2), (7, 5, 3, 4), (8, 7, 3, 5)] {
        let lambda = -(1.0f64 - 0.015).ln() / HOURS_PER_YEAR;
        let ways = factorial(k + m) / factorial(k - 1) / factorial(m);
        let power = i32::try_from(m).unwrap();
        let by_hand = HOURS_PER_YEAR * ways * lambda.powi(power + 1) * 24f64.powi(power);
        let found = loss_per_year(layout(k, m, zones, shards), &Assumptions::DISKS_ONLY).unwrap();
        assert!((found / by_hand - 1.0).abs() < 0.01, "{found} {by_hand}");
    }
}

#[test]
fn two_zones_lost_at_once_agree_with_the_formula_computed_by_hand() {
    // Z(Z-1) zeta^2 MTTR, where disks alone lose nothing and two zones are too many.
    let by_hand = 6.0 * 1e-3 * 1e-3 * 72.0 / HOURS_PER_YEAR;
    let found = loss_per_year(layout(6, 6, 3, 4), &Assumptions::ZONES_TOO).unwrap();
    assert!((found / by_hand - 1.0).abs() < 0.01, "{found} {by_hand}");
}

#[test]
fn unreadable_shards_make_a_loss_more_likely_and_certain_ones_take_a_parity_away() {
    let with = |latent_error: f64| {
        let assumptions = Assumptions {
            latent_error,
            ..Assumptions::DISKS_ONLY
        };
        loss_per_year(layout(3, 3, 3, 2), &assumptions).unwrap()
    };
    assert!(with(0.0) < with(1e-6) && with(1e-6) < with(1e-3));
    // Reaching m without a rebuild is what losing m + 1 is for a code with one parity less and as
    // many shards.
    let two = loss_per_year(layout(4, 2, 3, 2), &Assumptions::DISKS_ONLY).unwrap();
    assert!((with(1.0 - 1e-9) / two - 1.0).abs() < 0.01);
}

#[test]
fn what_the_model_does_not_cover_is_refused_and_what_never_fails_loses_nothing() {
    for (k, m, zones, shards) in [
        (0, 3, 3, 1),
        (2, 1, 3, 2),
        (20, 5, 5, 5),
        (1, 0, 0, 0),
        (u32::MAX, 1, 1, 1),
        (1, 1, u32::MAX, 2),
    ] {
        assert!(Layout::new(k, m, zones, shards).is_err(), "{k}+{m}");
    }
    assert!(Layout::copies(0).is_err());
    let bad = |change: fn(&mut Assumptions)| {
        let mut assumptions = Assumptions::ZONES_TOO;
        change(&mut assumptions);
        loss_per_year(layout(2, 1, 3, 1), &assumptions).is_err()
    };
    assert!(bad(|a| a.disk_failures_per_year = 1.0));
    assert!(bad(|a| a.disk_failures_per_year = -0.1));
    assert!(bad(|a| a.disk_failures_per_year = f64::NAN));
    assert!(bad(|a| a.disk_repair_hours = 0.0));
    assert!(bad(|a| a.zone_repair_hours = f64::INFINITY));
    assert!(bad(|a| a.hazard_beside_dead_disk = 0.5));
    let never = Assumptions {
        disk_failures_per_year: 0.0,
        ..Assumptions::DISKS_ONLY
    };
    let loss = loss_per_year(layout(7, 5, 3, 4), &never).unwrap();
    assert!(loss == 0.0 && nines(loss).is_none());
}

#[test]
fn one_disk_without_parity_is_lost_as_often_as_disks_die() {
    let loss = loss_per_year(layout(1, 0, 1, 1), &Assumptions::DISKS_ONLY).unwrap();
    assert!((loss - 0.015).abs() < 1e-12, "{loss}");
}
