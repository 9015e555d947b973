//! The checker of histories, checked: what no store could have answered is found, what one could
//! have answered is not.

use std::collections::BTreeMap;

use strongroom_sim::{Action, Outcome, Request, check_history, reads_of_list};

use Action::{Delete, Get, Put, PutIfAbsent, PutIfMatch};
use Outcome::{Done, Found, Refused, Unknown};

fn on(key: &str, action: Action, outcome: Outcome, called: u64, returned: u64) -> Request {
    Request {
        key: key.into(),
        action,
        outcome,
        called,
        returned,
    }
}

fn at(action: Action, outcome: Outcome, called: u64, returned: u64) -> Request {
    on("k", action, outcome, called, returned)
}

fn list(listed: &[(&str, u64)], called: u64, returned: u64) -> Vec<Request> {
    let keys = ["a".to_owned(), "b".to_owned(), "k".to_owned()];
    let listed: BTreeMap<String, u64> = listed
        .iter()
        .map(|(key, value)| ((*key).to_owned(), *value))
        .collect();
    reads_of_list(&keys, &listed, called, returned)
}

/// Twelve ways to break the promise, each once.
fn bad_histories() -> Vec<(&'static str, Vec<Request>)> {
    vec![
        (
            "an acknowledged put is lost",
            vec![at(Put(1), Done, 1, 2), at(Get, Found(None), 3, 4)],
        ),
        (
            "a read is stale after an overwrite",
            vec![
                at(Put(1), Done, 1, 2),
                at(Put(2), Done, 3, 4),
                at(Get, Found(Some(1)), 5, 6),
            ],
        ),
        (
            "a delete is undone",
            vec![
                at(Put(1), Done, 1, 2),
                at(Delete, Done, 3, 4),
                at(Get, Found(Some(1)), 5, 6),
            ],
        ),
        (
            "two reads see two concurrent puts in two orders",
            vec![
                at(Put(1), Done, 1, 10),
                at(Put(2), Done, 1, 10),
                at(Get, Found(Some(1)), 11, 12),
                at(Get, Found(Some(2)), 13, 14),
            ],
        ),
        (
            "a read goes back in time while a put runs",
            vec![
                at(Put(1), Done, 1, 2),
                at(Put(2), Done, 3, 20),
                at(Get, Found(Some(2)), 4, 5),
                at(Get, Found(Some(1)), 6, 7),
            ],
        ),
        (
            "a read sees what nobody wrote",
            vec![at(Put(1), Done, 1, 2), at(Get, Found(Some(9)), 3, 4)],
        ),
        (
            "a read sees a put that had not begun",
            vec![at(Get, Found(Some(1)), 1, 2), at(Put(1), Done, 3, 4)],
        ),
        (
            "two puts that demand absence both win",
            vec![
                at(PutIfAbsent(1), Done, 1, 10),
                at(PutIfAbsent(2), Done, 1, 10),
            ],
        ),
        (
            "two puts that demand the same tag both win",
            vec![
                at(Put(1), Done, 1, 2),
                at(PutIfMatch { seen: 1, value: 2 }, Done, 3, 10),
                at(PutIfMatch { seen: 1, value: 3 }, Done, 3, 10),
            ],
        ),
        (
            "a condition is refused although it held throughout",
            vec![
                at(Put(1), Done, 1, 2),
                at(PutIfMatch { seen: 1, value: 2 }, Refused, 3, 4),
            ],
        ),
        (
            "a put without an answer is seen, gone, and seen again",
            vec![
                at(Put(1), Done, 1, 2),
                at(Put(2), Unknown, 3, 4),
                at(Get, Found(Some(2)), 5, 6),
                at(Get, Found(Some(1)), 7, 8),
                at(Get, Found(Some(2)), 9, 10),
            ],
        ),
        (
            "a list misses a key that was put before and never deleted",
            [
                vec![on("a", Put(1), Done, 1, 2), at(Put(2), Done, 3, 4)],
                list(&[("a", 1)], 5, 6),
            ]
            .concat(),
        ),
    ]
}

fn good_histories() -> Vec<(&'static str, Vec<Request>)> {
    vec![
        ("nothing", Vec::new()),
        (
            "concurrent puts, and reads that agree on their order",
            vec![
                at(Put(1), Done, 1, 10),
                at(Put(2), Done, 1, 10),
                at(Get, Found(None), 2, 3),
                at(Get, Found(Some(2)), 4, 5),
                at(Get, Found(Some(1)), 6, 12),
            ],
        ),
        (
            "a put without an answer that happens late",
            vec![
                at(Put(1), Done, 1, 2),
                at(Put(2), Unknown, 3, 4),
                at(Get, Found(Some(1)), 5, 6),
                at(Get, Found(Some(2)), 7, 8),
            ],
        ),
        (
            "a put without an answer that never happens",
            vec![
                at(Put(1), Unknown, 1, 2),
                at(PutIfAbsent(2), Done, 3, 4),
                at(Get, Found(Some(2)), 5, 6),
            ],
        ),
        (
            "a delete without an answer lets a later put that demands absence win",
            vec![
                at(Put(1), Done, 1, 2),
                at(Delete, Unknown, 3, 4),
                at(PutIfAbsent(2), Done, 5, 6),
            ],
        ),
        (
            "of two conditions one wins and one is refused",
            vec![
                at(Put(1), Done, 1, 2),
                at(PutIfMatch { seen: 1, value: 2 }, Refused, 3, 10),
                at(PutIfMatch { seen: 1, value: 3 }, Done, 3, 10),
                at(Get, Found(Some(3)), 11, 12),
            ],
        ),
        (
            "a list while a put and a delete run may show either",
            [
                vec![
                    on("a", Put(1), Done, 1, 2),
                    on("a", Delete, Done, 3, 9),
                    on("b", Put(2), Done, 3, 9),
                ],
                list(&[("a", 1), ("b", 2)], 4, 8),
                list(&[], 10, 11)
                    .into_iter()
                    .filter(|read| read.key == "a")
                    .collect(),
            ]
            .concat(),
        ),
    ]
}

#[test]
fn twelve_planted_bad_histories_are_all_caught() {
    let all = bad_histories();
    let caught = all.iter().filter(|(name, history)| {
        let is_caught = check_history(history).is_err();
        if !is_caught {
            println!("not caught: {name}");
        }
        is_caught
    });
    let (caught, planted) = (caught.count(), all.len());
    assert_eq!((caught, planted), (12, 12));
    strongroom_sim::print_figure(
        "T10 planted bad histories are caught",
        "histories",
        planted as u64,
        (planted - caught) as u64,
        &[],
    );
}

#[test]
fn histories_that_a_store_can_have_are_not_called_bad() {
    for (name, history) in good_histories() {
        let checked = check_history(&history);
        assert!(checked.is_ok(), "{name}: {}", checked.unwrap_err());
    }
}

/// Requests that nobody answered may make the search long; it must end all the same.
#[test]
fn a_history_of_hundreds_of_requests_with_many_unanswered_is_checked() {
    let mut history = Vec::new();
    for n in 0..400u64 {
        let now = n * 10;
        let outcome = if n.is_multiple_of(9) { Unknown } else { Done };
        history.push(at(Put(n), outcome, now, now + 4));
        if outcome == Done {
            history.push(at(Get, Found(Some(n)), now + 5, now + 6));
        }
    }
    check_history(&history).unwrap();
    history.push(at(Get, Found(Some(1)), 5000, 5001));
    assert_eq!(check_history(&history).unwrap_err().key, "k");
}
