//! Figures of proofs: the lines that `cargo xtask reliability` gathers.
//!
//! Print one after the last assertion, so that there is none of a test that failed.

use std::fmt::Write as _;

/// Prints what a proof counted: what one trial is, how many, how many went wrong, and counts that
/// say what they were made of. Lines of the same proof are added up.
pub fn print_figure(proof: &str, unit: &str, trials: u64, bad: u64, counts: &[(&str, u64)]) {
    println!("{}", line(proof, unit, trials, bad, counts));
}

fn line(proof: &str, unit: &str, trials: u64, bad: u64, counts: &[(&str, u64)]) -> String {
    let mut more = String::new();
    for (index, (what, count)) in counts.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(more, "{comma}{what:?}: {count}").expect("a string takes what is written to it");
    }
    format!(
        "RELIABILITY {{\"proof\": {proof:?}, \"unit\": {unit:?}, \"trials\": {trials}, \
         \"bad\": {bad}, \"counts\": {{{more}}}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_line_of_json_after_a_word() {
        assert_eq!(
            line(
                "T2 crash replay",
                "crash point",
                7,
                0,
                &[("recoveries", 8), ("torn", 0)]
            ),
            r#"RELIABILITY {"proof": "T2 crash replay", "unit": "crash point", "trials": 7, "bad": 0, "counts": {"recoveries": 8, "torn": 0}}"#
        );
    }
}
