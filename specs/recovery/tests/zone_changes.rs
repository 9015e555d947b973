//! The member list changes by one at a time (RFC 0012), with kills and failed writes anywhere.

use strongroom_spec_recovery::explore::explore;
use strongroom_spec_recovery::rules::Broken;
use strongroom_spec_recovery::state::{Budget, State};

const STATES_MAX: usize = 3_000_000;
const ONE_VALUE: Budget = Budget {
    values: 1,
    idles: 0,
    kills: 2,
    failures: 1,
    copies: 0,
    admissions: 0,
    destroyed: 0,
    set_back: 0,
    logs_lost: 0,
    damaged: 0,
    joins: 0,
    leaves: 0,
};

fn search(members: usize, budget: Budget) {
    let found = explore(
        State::formatted(members, budget),
        Broken::Nothing,
        STATES_MAX,
    );
    println!(
        "{members} members, {budget:?}: {} states, {} recoveries, complete: {}",
        found.states, found.recoveries, found.complete
    );
    if let Some(violation) = found.violation {
        panic!("{violation}");
    }
    assert!(found.complete, "the bounds outgrew the search");
}

/// AZ06, H85.
#[test]
fn three_members_become_four_and_lose_nothing() {
    let joins = Budget {
        joins: 1,
        ..ONE_VALUE
    };
    search(3, joins);
    search(
        3,
        Budget {
            admissions: 1,
            kills: 1,
            ..joins
        },
    );
}

/// AZ06.
#[test]
fn three_members_become_two_and_lose_nothing() {
    search(
        3,
        Budget {
            leaves: 1,
            ..ONE_VALUE
        },
    );
}

/// AZ06.
#[test]
fn four_members_become_three_and_lose_nothing() {
    search(
        4,
        Budget {
            leaves: 1,
            kills: 1,
            ..ONE_VALUE
        },
    );
}

fn hides_a_write(members: usize, broken: Broken, budget: Budget) {
    let found = explore(State::formatted(members, budget), broken, STATES_MAX);
    let trace = found.violation.expect("the search finds it");
    println!("{trace}");
    assert!(trace.contains("Lost"));
}

/// A drained member and one that missed the change show what was true before it.
#[test]
fn a_leaving_member_that_counts_as_knowing_hides_a_write() {
    let budget = Budget {
        leaves: 1,
        kills: 1,
        ..ONE_VALUE
    };
    hides_a_write(4, Broken::LeavingKnows, budget);
}

/// A new member and the only one that was told of it show what was true before the others went on.
#[test]
fn a_list_that_is_not_in_force_and_known_to_few_hides_a_write() {
    let budget = Budget {
        joins: 1,
        ..ONE_VALUE
    };
    hides_a_write(3, Broken::NotInForceKnows, budget);
}
