//! Each rule is there for a reason: without it, the search finds a way to a loss. A rule whose
//! absence nothing notices is a rule we do not understand.

use strongroom_spec_recovery::explore::{Found, explore};
use strongroom_spec_recovery::rules::Broken;
use strongroom_spec_recovery::state::{Budget, State};

const STATES_MAX: usize = 3_000_000;
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
/// A lost log disk while a third member is being caught up.
const LOG_LOST: Budget = Budget {
    values: 1,
    copies: 1,
    admissions: 1,
    logs_lost: 1,
    ..COMMON
};

fn caught(broken: Broken, budget: Budget) -> String {
    let found: Found = explore(State::formatted(3, budget), broken, STATES_MAX);
    let trace = found
        .violation
        .unwrap_or_else(|| panic!("{broken:?}: nothing found in {} states", found.states));
    println!("{broken:?}, {} states:\n{trace}", found.states);
    trace
}

fn loses(broken: Broken, budget: Budget) {
    let trace = caught(broken, budget);
    assert!(
        trace.contains("Lost"),
        "an acknowledged value is lost, not only a start refused"
    );
}

/// H1.
#[test]
fn majority_vote_instead_of_the_highest_chain_loses_a_write() {
    loses(Broken::MajorityVote, COMMON);
}

/// H7.
#[test]
fn believing_a_member_that_forgot_loses_a_write() {
    loses(
        Broken::BelieveForgotten,
        Budget {
            set_back: 1,
            ..COMMON
        },
    );
}

#[test]
fn acknowledging_before_the_generation_is_in_force_loses_a_write() {
    loses(Broken::AckBeforeGeneration, LOG_LOST);
}

#[test]
fn acknowledging_after_one_member_loses_a_write() {
    loses(Broken::AckAfterOne, COMMON);
}

/// H2.
#[test]
fn writing_the_membership_before_all_promised_loses_a_write() {
    loses(Broken::BatchBeforePromises, LOG_LOST);
}

/// H2.
#[test]
fn a_generation_without_a_tag_loses_a_write() {
    loses(Broken::WithoutTag, LOG_LOST);
}

/// H4: here the other members still notice, and the store stops for no reason.
#[test]
fn cutting_damage_as_if_it_were_torn_contradicts_what_is_remembered() {
    caught(
        Broken::CutDamage,
        Budget {
            damaged: 1,
            ..COMMON
        },
    );
}

/// H44.
#[test]
fn a_half_copied_log_that_looks_whole_loses_a_write() {
    loses(Broken::CopyUnmarked, LOG_LOST);
}

/// H45.
#[test]
fn a_copied_chain_taken_as_proof_of_its_generation_loses_a_write() {
    loses(Broken::BelieveCopies, LOG_LOST);
}

/// H48.
#[test]
fn ignoring_a_begun_file_whose_batch_rotted_loses_a_write() {
    loses(
        Broken::BelieveBatchesOnly,
        Budget {
            idles: 0,
            damaged: 1,
            ..COMMON
        },
    );
}

/// H48: and believing it too much does as well.
#[test]
fn a_begun_file_above_a_rotten_batch_taken_as_proof_loses_a_write() {
    loses(
        Broken::BelieveBegunFile,
        Budget {
            idles: 0,
            damaged: 1,
            ..COMMON
        },
    );
}

/// H47: no fault but kills, and the store contradicts itself.
#[test]
fn claiming_an_acknowledgement_before_it_is_one_stops_the_store() {
    let trace = caught(
        Broken::ClaimEarly,
        Budget {
            idles: 0,
            kills: 3,
            ..COMMON
        },
    );
    assert!(trace.contains("Contradiction"));
}

/// H3.
#[test]
fn blank_members_that_vote_lose_a_write() {
    loses(
        Broken::BlankVotes,
        Budget {
            destroyed: 1,
            ..COMMON
        },
    );
}

/// H5.
#[test]
fn recovering_without_a_quorum_loses_a_write() {
    loses(Broken::NoQuorum, COMMON);
}
