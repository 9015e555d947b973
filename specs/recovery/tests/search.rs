//! Every state within the bounds: no acknowledged value is lost, and no recovery is refused that
//! unharmed members, or all members with one of them harmed, could answer.
//!
//! The bounds count what may go wrong on the way. "Kills" fall between any two durable writes.

use strongroom_spec_recovery::explore::{explore, walk};
use strongroom_spec_recovery::rules::Broken;
use strongroom_spec_recovery::state::{Budget, State};

const STATES_MAX: usize = 4_000_000;

/// Two values, an idle batch, two kills and a failed write: what all searches have.
const COMMON: Budget = Budget {
    values: 2,
    idles: 1,
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

/// One value instead of two, where a fault with many outcomes makes the search long.
const SHORT: Budget = Budget {
    values: 1,
    ..COMMON
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

fn one_of_each() -> [Budget; 5] {
    [
        Budget {
            kills: 3,
            copies: 1,
            admissions: 1,
            ..COMMON
        },
        Budget {
            destroyed: 1,
            ..COMMON
        },
        Budget {
            set_back: 1,
            ..COMMON
        },
        Budget {
            logs_lost: 1,
            copies: 1,
            admissions: 1,
            ..COMMON
        },
        Budget {
            damaged: 1,
            ..COMMON
        },
    ]
}

#[test]
fn one_member_keeps_what_its_disk_keeps() {
    for budget in one_of_each() {
        search(1, budget);
    }
}

/// H1, H7: the write set is both, so either alone knows, and neither alone writes.
#[test]
fn two_members_lose_nothing_with_one_member() {
    for budget in one_of_each() {
        search(2, budget);
    }
}

/// H1, H3, H5: a blank member never counts.
#[test]
fn three_members_lose_nothing_when_one_is_destroyed() {
    search(
        3,
        Budget {
            destroyed: 1,
            ..COMMON
        },
    );
}

/// H7: a member set back to an older image has no vote as soon as anyone present can tell.
#[test]
fn three_members_lose_nothing_when_one_is_set_back() {
    search(
        3,
        Budget {
            set_back: 1,
            ..SHORT
        },
    );
}

/// H24, H30: catch-up and admission, cut short anywhere, and a lost log disk whose promise is left.
#[test]
fn three_members_lose_nothing_when_one_loses_its_log() {
    let budget = Budget {
        logs_lost: 1,
        copies: 1,
        admissions: 1,
        ..SHORT
    };
    search(3, budget);
}

/// H4: damage is never taken for the end of the log, with a torn membership batch beside it too.
#[test]
fn three_members_lose_nothing_when_one_batch_rots() {
    search(
        3,
        Budget {
            damaged: 1,
            ..SHORT
        },
    );
}

/// H2: recoveries killed half-way, by different majorities in turn.
#[test]
fn three_members_agree_after_three_kills() {
    search(
        3,
        Budget {
            kills: 3,
            idles: 0,
            ..SHORT
        },
    );
}

#[test]
fn four_members_lose_nothing_when_one_is_destroyed() {
    search(
        4,
        Budget {
            destroyed: 1,
            ..SHORT
        },
    );
}

/// Too many states to visit: random walks, from fixed seeds, with more of everything.
#[test]
fn five_members_lose_nothing_on_random_walks() {
    let budget = Budget {
        values: 4,
        idles: 2,
        kills: 4,
        failures: 2,
        copies: 1,
        admissions: 2,
        ..COMMON
    };
    let faults = [
        Budget {
            destroyed: 1,
            ..budget
        },
        Budget {
            set_back: 1,
            ..budget
        },
        Budget {
            logs_lost: 1,
            ..budget
        },
        Budget {
            damaged: 1,
            ..budget
        },
    ];
    for (seed, budget) in (1..).zip(faults) {
        let found = walk(&State::formatted(5, budget), Broken::Nothing, seed, 150);
        println!(
            "5 members, {budget:?}: {} steps, {} recoveries",
            found.states, found.recoveries
        );
        if let Some(violation) = found.violation {
            panic!("{violation}");
        }
        assert!(
            found.recoveries > 1000,
            "the walks recovered too seldom to mean much"
        );
    }
}
