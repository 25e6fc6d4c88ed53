//! Look by look, against a table that is kept here.

mod table;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use self::table::{SECOND, Table};
use super::{Is, LINGERS, Seen, time};
use crate::console::live::News;
use crate::operation::Outcome;
use crate::{Operation, OperationId, State};

fn number(id: OperationId) -> i64 {
    id.to_string()[3..].parse().unwrap()
}

fn shown(seen: &Seen) -> Vec<i64> {
    let shown: BTreeSet<_> = seen.all_shown().map(|one| one.operation.sequence).collect();
    shown.into_iter().collect()
}

fn gone(seen: &Seen) -> Vec<i64> {
    let gone = seen.rows.iter().filter(|(_, row)| matches!(row.is, Is::Gone(_)));
    let gone: BTreeSet<_> = gone.map(|(id, _)| number(*id)).collect();
    gone.into_iter().collect()
}

fn turn(seen: &Seen, number: i64) -> u64 {
    seen.rows[&Table::id(number)].turn
}

#[test]
fn nothing_is_good_before_somebody_has_looked() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    assert!(!seen.is_good());
    table.look(&mut seen);
    assert!(seen.is_good() && seen.turn == 1 && shown(&seen).is_empty());
    assert!(seen.now() >= UNIX_EPOCH + table.now);
}

#[test]
fn what_has_not_changed_is_not_read_again_and_keeps_its_look() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.put(2, State::Waiting, None);
    table.look(&mut seen);
    assert_eq!(table.last_asked(), [1, 2]);
    table.look(&mut seen);
    assert!(table.last_asked().is_empty());
    table.changes(1, |operation| operation.attempt = 7);
    table.look(&mut seen);
    assert_eq!(table.last_asked(), [1]);
    assert_eq!((turn(&seen, 1), turn(&seen, 2), seen.turn), (3, 1, 3));
    assert_eq!(seen.shown(Table::id(1)).unwrap().operation.attempt, 7);
    assert!(seen.shown(Table::id(1)).unwrap().text.contains("\"attempt\":7"));
}

#[test]
fn what_has_ended_is_shown_for_a_minute_then_gone_then_forgotten() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.look(&mut seen);
    table.ends(1);
    table.later(&mut seen, SECOND);
    assert_eq!(table.last_asked(), [1]);
    assert!(seen.shown(Table::id(1)).unwrap().operation.state.is_finished());
    let ended = turn(&seen, 1);
    table.later(&mut seen, LINGERS - SECOND * 2);
    assert_eq!((shown(&seen), turn(&seen, 1)), (vec![1], ended));
    assert!(table.last_asked().is_empty(), "its end was read");
    table.later(&mut seen, SECOND);
    assert_eq!((shown(&seen), gone(&seen)), (vec![], vec![1]));
    let was = turn(&seen, 1);
    assert_eq!((was, seen.forgotten), (seen.turn, 0));
    table.later(&mut seen, LINGERS);
    assert_eq!((gone(&seen), turn(&seen, 1)), (vec![1], was));
    table.later(&mut seen, SECOND);
    assert!(seen.rows.is_empty());
    assert_eq!(seen.forgotten, was, "who has seen no more than before it begins anew");
}

#[test]
fn one_that_was_never_shown_is_not_gone() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    let open = table.opened();
    // Between the two halves of a look it has ended, long ago as it seems, or was removed.
    table.ends(1);
    table.all.get_mut(&1).unwrap().finished_at = Some(UNIX_EPOCH);
    let found = table.reads(&seen, open);
    seen.takes(found, table.at());
    assert_eq!(shown(&seen), [1], "it was open as this look began");
    table.look(&mut seen);
    assert_eq!(gone(&seen), [1]);

    table.put(2, State::Running, None);
    let open = table.opened();
    table.all.remove(&2);
    let found = table.reads(&seen, open);
    seen.takes(found, table.at());
    assert_eq!((shown(&seen), gone(&seen)), (vec![], vec![1]));
}

#[test]
fn a_look_that_began_before_everybody_left_is_not_taken() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.look(&mut seen);
    table.put(2, State::Running, None);
    let open = table.opened();
    let found = table.reads(&seen, open);
    seen.ends();
    assert!(!seen.is_good() && seen.rows.is_empty() && seen.stopped.is_empty());
    assert_eq!((seen.turn, seen.forgotten, seen.epoch), (1, 1, 1));
    // It has left out what was known then.
    seen.takes(found, table.at());
    assert!(!seen.is_good() && seen.rows.is_empty() && seen.turn == 1);
    table.look(&mut seen);
    assert_eq!((shown(&seen), seen.turn), (vec![1, 2], 2));
}

#[test]
fn what_is_above_is_kept_while_it_is_needed_and_no_longer() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Finished(Outcome::Succeeded), None);
    table.put(2, State::Finished(Outcome::Succeeded), Some(1));
    table.put(3, State::Running, Some(2));
    table.now += LINGERS * 10;
    table.look(&mut seen);
    assert_eq!(shown(&seen), [1, 2, 3]);
    table.later(&mut seen, SECOND);
    assert!(table.last_asked().is_empty(), "they are known");
    table.ends(3);
    table.later(&mut seen, SECOND);
    assert_eq!(shown(&seen), [1, 2, 3], "it has just ended");
    table.later(&mut seen, LINGERS);
    assert_eq!((shown(&seen), gone(&seen)), (vec![], vec![1, 2, 3]));
    // One more below one that is gone.
    table.put(4, State::Waiting, Some(2));
    table.later(&mut seen, SECOND);
    assert_eq!((shown(&seen), gone(&seen)), (vec![1, 2, 4], vec![3]));
    assert_eq!(turn(&seen, 1), seen.turn, "who was told that it is gone is told that it is there");
}

#[test]
fn a_parent_that_was_removed_is_asked_for_once() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(2, State::Running, Some(1));
    table.look(&mut seen);
    assert_eq!(table.last_asked(), [1, 2]);
    for _ in 0..3 {
        table.runs(2);
        table.later(&mut seen, SECOND);
        assert_eq!(table.last_asked(), [2]);
    }
    assert_eq!((shown(&seen), seen.absent.len()), (vec![2], 1));
    table.ends(2);
    table.look(&mut seen);
    table.later(&mut seen, LINGERS);
    assert!(seen.absent.is_empty(), "nobody is below it any more");
}

#[test]
fn one_that_is_removed_is_gone_though_something_is_below_it() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.put(2, State::Running, Some(1));
    table.look(&mut seen);
    table.all.remove(&1);
    table.later(&mut seen, SECOND);
    assert_eq!((shown(&seen), gone(&seen)), (vec![2], vec![1]));
    table.later(&mut seen, SECOND);
    assert!(table.last_asked().is_empty());
}

#[test]
fn one_that_was_gone_is_shown_when_it_is_there_again() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.most_waiting = 1;
    table.put(2, State::Waiting, None);
    table.look(&mut seen);
    // An older one waits again, and there is room for one.
    table.put(1, State::Waiting, None);
    table.later(&mut seen, SECOND);
    assert_eq!((shown(&seen), gone(&seen)), (vec![1], vec![2]));
    let was = turn(&seen, 2);
    table.later(&mut seen, SECOND);
    assert!(table.last_asked().is_empty(), "what is not shown is not read");
    assert_eq!(turn(&seen, 2), was, "and is gone once");
    table.runs(1);
    table.later(&mut seen, SECOND);
    assert_eq!((shown(&seen), gone(&seen)), (vec![1, 2], vec![]));
    assert_eq!(turn(&seen, 2), seen.turn);
    // It was gone for less than it would have been known to be.
    table.later(&mut seen, LINGERS * 2);
    assert_eq!((shown(&seen), seen.forgotten), (vec![1, 2], 0));
}

#[test]
fn those_that_were_stopped_are_told_once_and_kept_as_long_as_they_are_the_last() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.put(2, State::Running, None);
    table.stops(1);
    table.now += LINGERS * 2;
    table.look(&mut seen);
    assert_eq!(seen.stopped.keys().map(|id| number(*id)).collect::<Vec<_>>(), [1]);
    assert_eq!((shown(&seen), gone(&seen)), (vec![2], vec![]), "it ended long ago");
    table.later(&mut seen, SECOND);
    assert!(table.last_asked().is_empty(), "what has ended stays as it is");
    table.stops(2);
    table.later(&mut seen, SECOND);
    let told: HashMap<_, _> =
        seen.stopped.iter().map(|(id, stopped)| (number(*id), stopped.turn)).collect();
    assert_eq!(told, HashMap::from([(1, 1), (2, 3)]));
    // It is none of the last any more.
    table.all.remove(&1);
    table.later(&mut seen, SECOND);
    assert_eq!(seen.stopped.keys().map(|id| number(*id)).collect::<Vec<_>>(), [2]);
    // One whose end nobody can read any more has not stopped.
    table.put(3, State::Running, None);
    table.look(&mut seen);
    table.stops(3);
    let open = table.opened();
    table.all.remove(&3);
    let found = table.reads(&seen, open);
    seen.takes(found, table.at());
    assert!(!seen.stopped.contains_key(&Table::id(3)));
}

#[test]
fn what_is_above_and_waits_behind_too_many_is_told_once() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.most_waiting = 1;
    table.put(1, State::Waiting, None);
    table.put(2, State::Waiting, None);
    table.put(3, State::Running, Some(2));
    table.look(&mut seen);
    assert_eq!(shown(&seen), [1, 2, 3]);
    table.later(&mut seen, SECOND);
    assert_eq!(table.last_asked(), [2], "it may have ended");
    assert_eq!((shown(&seen), turn(&seen, 2)), (vec![1, 2, 3], 1));
}

/// What somebody has who is told what is new, look by look, or more seldom.
#[derive(Default)]
struct Reads {
    turn: Option<u64>,
    rows: HashMap<OperationId, i64>,
    stopped: HashSet<OperationId>,
}

impl Reads {
    /// What they were told, and whether they had to begin anew.
    fn reads(&mut self, seen: &Seen) -> bool {
        let news = News::since(self.turn, seen);
        if news.is_whole {
            *self = Self::default();
        }
        for one in &news.rows {
            self.rows.insert(one.operation.id, one.operation.version);
        }
        for id in &news.gone {
            self.rows.remove(id);
        }
        for one in &news.stopped {
            assert!(self.stopped.insert(one.operation.id), "{} is told twice", one.operation.id);
        }
        assert!(news.rows.is_sorted_by_key(|one| one.operation.sequence));
        self.turn = Some(news.turn);
        news.is_whole
    }
}

#[test]
fn who_has_slept_for_longer_than_what_is_gone_is_known_begins_anew() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.put(2, State::Running, None);
    table.look(&mut seen);
    let (mut wakes, mut sleeps) = (Reads::default(), Reads::default());
    assert!(wakes.reads(&seen) && sleeps.reads(&seen));
    table.all.remove(&1);
    table.later(&mut seen, SECOND);
    assert!(!wakes.reads(&seen), "it is told what is new");
    assert_eq!(wakes.rows.len(), 1);
    table.later(&mut seen, LINGERS);
    table.later(&mut seen, SECOND);
    assert!(!wakes.reads(&seen), "it knew that before it was forgotten");
    assert!(sleeps.reads(&seen));
    assert_eq!(sleeps.rows, wakes.rows);
    // And when everybody had gone in between.
    seen.ends();
    table.look(&mut seen);
    assert!(Reads { turn: Some(1), ..Reads::default() }.reads(&seen));
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Whatever happens, and however seldom somebody reads.
#[test]
fn whoever_reads_now_and_then_has_what_is_shown_and_that_is_what_there_is() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let (mut table, mut seen) = (Table::new(), Seen::default());
        table.most_waiting = 4 + usize::try_from(dice.below(6)).unwrap();
        let mut often = Reads::default();
        let mut seldom = Reads::default();
        let mut next = 0;
        for _ in 0..60 {
            for _ in 0..dice.below(5) {
                happens(&mut table, &mut dice, &mut next);
            }
            let open = table.opened();
            if dice.below(3) == 0 {
                happens(&mut table, &mut dice, &mut next);
            }
            let found = table.reads(&seen, open);
            if dice.below(40) == 0 {
                seen.ends();
                (often, seldom) = (Reads::default(), Reads::default());
            }
            seen.takes(found, table.at());
            if !seen.is_good() {
                continue;
            }
            let all: HashMap<_, _> =
                seen.all_shown().map(|one| (one.operation.id, one.operation.version)).collect();
            often.reads(&seen);
            assert_eq!(often.rows, all, "seed {seed}");
            if dice.below(8) == 0 {
                seldom.reads(&seen);
                assert_eq!(seldom.rows, all, "seed {seed}");
            }
            table.now += SECOND * u32::try_from(dice.below(20)).unwrap();
        }
        // What nothing happens to is shown as it is.
        table.look(&mut seen);
        table.look(&mut seen);
        is_what_there_is(&table, &seen, seed);
    }
}

fn happens(table: &mut Table, dice: &mut Dice, next: &mut i64) {
    let numbers: Vec<_> = table.all.keys().copied().collect();
    let any = |dice: &mut Dice| {
        let count = u64::try_from(numbers.len()).unwrap();
        (count > 0).then(|| numbers[usize::try_from(dice.below(count)).unwrap()])
    };
    let Some(number) = any(dice).filter(|_| dice.below(3) > 0) else {
        *next += 1;
        let parent = any(dice).filter(|_| dice.below(2) == 0);
        return table.put(*next, State::Waiting, parent);
    };
    let state = table.all[&number].state;
    match dice.below(10) {
        0 => drop(table.all.remove(&number)),
        1 | 2 if state == State::Running => table.stops(number),
        3 | 4 if !state.is_finished() => table.ends(number),
        5 if state == State::Running => {
            table.changes(number, |operation| operation.state = State::Waiting);
        }
        6 if state == State::Running => table.changes(number, |operation| operation.attempt += 1),
        _ if state == State::Waiting => table.runs(number),
        _ => {}
    }
}

fn is_what_there_is(table: &Table, seen: &Seen, seed: u64) {
    let open = table.opened();
    let is_open =
        |id: &OperationId| open.running.iter().chain(&open.waiting).any(|(open, _)| open == id);
    for (id, version) in open.running.iter().chain(&open.waiting) {
        let one = seen.shown(*id).unwrap_or_else(|| panic!("{id} is missing, seed {seed}"));
        assert_eq!(one.operation.version, *version, "seed {seed}");
    }
    let clock = time(open.now);
    for one in seen.all_shown() {
        let Operation { id, parent, finished_at, .. } = &*one.operation;
        let parent = parent.filter(|parent| table.all.contains_key(&number(*parent)));
        assert!(parent.is_none_or(|parent| seen.shown(parent).is_some()), "{id}, seed {seed}");
        let has_just_ended = finished_at.is_some_and(|ended| clock < ended + LINGERS);
        let is_above = seen.all_shown().any(|below| below.operation.parent == Some(*id));
        assert!(is_open(id) || has_just_ended || is_above, "{id} is left, seed {seed}");
    }
    assert_eq!(seen.stopped.len(), open.stopped.len(), "seed {seed}");
}

#[test]
fn what_is_shown_of_one_is_shared_by_all_who_read() {
    let (mut table, mut seen) = (Table::new(), Seen::default());
    table.put(1, State::Running, None);
    table.look(&mut seen);
    let one = seen.shown(Table::id(1)).unwrap();
    assert!(Arc::ptr_eq(&one.text, &one.clone().text));
}
