//! Tests of the log as Raft sees it.

use super::*;
use crate::entry::EntryKind;
use crate::ids::ReplicaId;
use bytes::Bytes;
use proptest::prelude::*;

fn entry(index: u64, term: u32) -> Entry {
    Entry {
        index: Index(index),
        term: Term(term),
        kind: EntryKind::Batch,
        data: Bytes::from(format!("{term}.{index}")),
    }
}

/// Born behind 5.1, with 6..=12 in the terms 1 1 2 2 4 4 4, and nothing applied.
fn view() -> View {
    let point = Point { index: Index(5), term: Term(1), conf: Conf::of_voters([ReplicaId(1)]) };
    let mut view = View::new(Restored::birth(point));
    let terms = [1, 1, 2, 2, 4, 4, 4];
    view.append(&terms.iter().zip(6..).map(|(term, index)| entry(index, *term)).collect::<Vec<_>>());
    view
}

fn terms(view: &View) -> Vec<Option<u32>> {
    (4..=13).map(|index| view.term_of(Index(index)).map(|term| term.0)).collect()
}

fn store_error<T: std::fmt::Debug>(result: raft::Result<T>) -> StorageError {
    match result.expect_err("refused") {
        Error::Store(why) => why,
        other => panic!("{other}"),
    }
}

fn asks(view: &View, low: u64, high: u64) -> Vec<u64> {
    let found = view.entries(low, high, None, GetEntriesContext::empty(false)).expect("in memory");
    found.iter().map(|entry| entry.index).collect()
}

#[test]
fn terms_are_answered_for_the_whole_log_whatever_is_in_memory() {
    let mut view = view();
    let all = [None, Some(1), Some(1), Some(1), Some(2), Some(2), Some(4), Some(4), Some(4), None];
    assert_eq!(terms(&view), all);
    view.forget(Index(12), 0);
    assert_eq!(terms(&view), all);
    assert_eq!(store_error(view.term(4)), StorageError::Compacted);
    assert_eq!(store_error(view.term(13)), StorageError::Unavailable);
}

#[test]
fn a_new_leaders_entries_replace_the_tail() {
    let mut view = view();
    view.append(&[entry(9, 5), entry(10, 5)]);
    assert_eq!(terms(&view)[4..], [Some(2), Some(5), Some(5), None, None, None]);
    assert_eq!((view.last_index().expect("known"), asks(&view, 6, 11)), (10, vec![6, 7, 8, 9, 10]));
}

#[test]
fn a_cut_moves_the_start_and_keeps_its_term() {
    let mut view = view();
    let point = view.cut(Index(9));
    assert_eq!((point.index, point.term), (Index(9), Term(2)));
    assert_eq!(terms(&view)[4..], [None, Some(2), Some(4), Some(4), Some(4), None]);
    assert_eq!(view.first_index().expect("known"), 10);
    let refused = view.entries(9, 11, None, GetEntriesContext::empty(true));
    assert_eq!(store_error(refused), StorageError::Compacted);
    assert_eq!(asks(&view, 10, 13), [10, 11, 12]);
}

#[test]
fn a_snapshot_throws_everything_away() {
    let mut view = view();
    view.note_conf(Index(7), Conf::of_voters([ReplicaId(1), ReplicaId(2)]));
    let conf = Conf::of_voters([ReplicaId(3)]);
    view.install(Point { index: Index(40), term: Term(6), conf: conf.clone() });
    assert_eq!((view.conf(), view.last_index().expect("known")), ((Index(40), &conf), 40));
    assert_eq!(view.term_of(Index(12)), None);
    view.append(&[entry(41, 6)]);
    assert_eq!(asks(&view, 41, 42), [41]);
}

#[test]
fn entries_below_memory_are_asked_for_once_and_served_from_the_answer() {
    let mut view = view();
    view.forget(Index(10), 0);
    let ask = |view: &View| store_error(view.entries(7, 13, Some(1000), GetEntriesContext::empty(true)));
    assert_eq!(ask(&view), StorageError::LogTemporarilyUnavailable);
    assert_eq!(ask(&view), StorageError::LogTemporarilyUnavailable);
    let wanted = view.take_wanted();
    assert_eq!(wanted.len(), 1, "the second asks for the same");
    assert_eq!((wanted[0].first, wanted[0].last, wanted[0].bytes_max), (Index(7), Index(12), 1000));

    view.answer(Index(7), vec![entry(7, 1), entry(8, 2)]);
    assert_eq!(asks(&view, 7, 13), [7, 8], "fewer will do");
    view.drop_answer();
    assert_eq!(ask(&view), StorageError::LogTemporarilyUnavailable);
    assert_eq!(view.take_wanted().len(), 1);
}

#[test]
fn an_answer_that_is_not_this_log_is_not_sent() {
    let mut view = view();
    view.forget(Index(10), 0);
    for wrong in
        [vec![entry(7, 3)], vec![entry(8, 2)], vec![entry(7, 1), entry(9, 2)], vec![entry(7, 1), entry(8, 1)]]
    {
        view.answer(Index(7), wrong);
        let refused = view.entries(7, 13, None, GetEntriesContext::empty(true));
        assert_eq!(store_error(refused), StorageError::LogTemporarilyUnavailable);
    }
}

#[test]
fn configurations_are_those_in_force_at_an_index() {
    let mut view = view();
    let two = Conf::of_voters([ReplicaId(1), ReplicaId(2)]);
    view.note_conf(Index(8), two.clone());
    let at = |view: &View, index| view.point_at(Index(index)).map(|point| point.conf);
    assert_eq!(at(&view, 7), Some(Conf::of_voters([ReplicaId(1)])));
    assert_eq!((at(&view, 8), at(&view, 12), at(&view, 13)), (Some(two.clone()), Some(two.clone()), None));
    view.cut(Index(10));
    assert_eq!((view.conf(), view.confs().len()), ((Index(10), &two), 0));
}

#[test]
fn a_burst_gives_its_memory_back() {
    let mut view = view();
    view.append(&(13..2000).map(|index| entry(index, 4)).collect::<Vec<_>>());
    view.forget(Index(1999), 0);
    assert_eq!((view.bytes, view.entries.capacity()), (0, 0));
    view.append(&(2000..2010).map(|index| entry(index, 4)).collect::<Vec<_>>());
    view.forget(Index(2009), 200);
    assert!(view.bytes <= 200 && view.bytes > 0, "{}", view.bytes);
}

/// What happens to a log: it grows, its tail is replaced, its head is cut or forgotten.
#[derive(Clone, Debug)]
enum Act {
    Append(usize),
    Replace(u64, usize),
    Cut(u64),
    Forget(u64),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1..5usize).prop_map(Act::Append),
        (1..6u64, 1..4usize).prop_map(|(back, count)| Act::Replace(back, count)),
        (0..9u64).prop_map(Act::Cut),
        (0..9u64).prop_map(Act::Forget),
    ]
}

proptest! {
    #[test]
    fn the_view_is_a_plain_log_with_less_memory(acts in prop::collection::vec(any_act(), 1..40)) {
        let mut view = view();
        let (mut plain, mut start, mut gone) = (vec![1, 1, 2, 2, 4, 4, 4], 5u64, 5u64);
        let mut term = 4;
        for act in acts {
            let last = start + plain.len() as u64;
            match act {
                Act::Append(count) => {
                    let new: Vec<Entry> = (last + 1..).take(count).map(|index| entry(index, term)).collect();
                    view.append(&new);
                    plain.extend(new.iter().map(|entry| entry.term.0));
                }
                Act::Replace(back, count) => {
                    let from = last.saturating_sub(back).max(gone) + 1;
                    term += 1;
                    plain.truncate((from - start - 1) as usize);
                    let new: Vec<Entry> = (from..).take(count).map(|index| entry(index, term)).collect();
                    view.append(&new);
                    plain.extend(new.iter().map(|entry| entry.term.0));
                }
                Act::Cut(up) => {
                    let to = (start + up).min(last);
                    view.cut(Index(to));
                    plain.drain(..(to - start) as usize);
                    (start, gone) = (to, gone.max(to));
                }
                Act::Forget(up) => {
                    gone = gone.max((gone + up).min(last));
                    view.forget(Index(gone), 0);
                }
            }
            let last = start + plain.len() as u64;
            prop_assert_eq!(view.last_index().expect("known"), last);
            for (term, index) in plain.iter().zip(start + 1..) {
                prop_assert_eq!(view.term(index).expect("known"), u64::from(*term));
            }
            prop_assert_eq!(asks(&view, gone + 1, last + 1), (gone + 1..=last).collect::<Vec<_>>());
        }
    }
}
