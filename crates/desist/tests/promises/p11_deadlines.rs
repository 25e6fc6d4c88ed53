//! Promise 11, deadlines over a tree: inherited, the earliest counts, each on its own clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desist::{Clock, Reason, Source, TimeSource, Token};

use crate::common::{Count, lock};

const HOUR: Duration = Duration::from_secs(3_600);
/// How much later than the exact one a deadline may be reported.
const TICK: Duration = Duration::ZERO;

#[track_caller]
fn assert_deadline(token: &Token, exact: Instant) {
    let deadline = token.deadline().expect("it has a deadline");
    assert!(deadline >= exact, "reported too early");
    assert!(deadline <= exact + TICK, "reported {:?} too late", deadline - exact);
}

#[test]
fn nobody_has_a_deadline_at_first() {
    for token in
        [Token::never(), Source::new().token(), Token::cancelled_with("gone").child().token()]
    {
        assert_eq!(token.deadline(), None);
        assert_eq!(token.remaining(), None);
    }
}

#[test]
fn the_deadline_is_the_one_that_was_armed() {
    let at = Instant::now() + HOUR;
    assert_deadline(&Source::with_deadline(at).token(), at);
    assert_deadline(&Token::never().child_with_deadline(at).token(), at);
    let source = Source::new();
    source.cancel_at(at);
    assert_deadline(&source.token(), at);

    let before = Instant::now();
    let armed = Source::with_timeout(HOUR);
    let after = Instant::now();
    let deadline = armed.token().deadline().expect("armed");
    assert!(before + HOUR <= deadline && deadline <= after + HOUR + TICK);
}

#[test]
fn the_earliest_counts_own_or_inherited() {
    let now = Instant::now();
    let (soon, late) = (now + HOUR, now + HOUR * 2);
    let parent = Source::with_deadline(soon);
    assert_deadline(&parent.child().token(), soon);
    assert_deadline(&parent.token().child_with_deadline(late).token(), soon);
    let parent = Source::with_deadline(late);
    assert_deadline(&parent.token().child_with_deadline(soon).token(), soon);
    let grandchild = parent.child().token().child_with_deadline(soon).child();
    assert_deadline(&grandchild.token(), soon);
    assert_deadline(&parent.token(), late);
}

#[test]
fn the_earliest_of_all_parents_counts() {
    let now = Instant::now();
    let parents = [3, 1, 2].map(|hours| Source::with_deadline(now + HOUR * hours));
    let tokens = parents.each_ref().map(Source::token);
    let linked = Source::linked(&tokens);
    assert_deadline(&linked.token(), now + HOUR);
    assert_deadline(&Token::any(&tokens), now + HOUR);
    parents[1].disarm();
    assert_deadline(&linked.token(), now + HOUR * 2);
    linked.cancel_at(now + HOUR / 2);
    assert_deadline(&linked.token(), now + HOUR / 2);
    linked.disarm();
    assert_deadline(&linked.token(), now + HOUR * 2);
}

#[test]
fn a_later_cancel_after_of_a_parent_shows_in_the_children() {
    let root = Source::new();
    let middle = root.child();
    let leaf = middle.child();
    let linked = Source::linked([Token::never(), leaf.token()]);
    let tokens = [middle.token(), leaf.token(), linked.token()];
    assert!(tokens.iter().all(|token| token.deadline().is_none()));
    let at = Instant::now() + HOUR;
    root.cancel_at(at);
    tokens.iter().for_each(|token| assert_deadline(token, at));
    root.cancel_at(at + HOUR);
    tokens.iter().for_each(|token| assert_deadline(token, at + HOUR));
    middle.cancel_at(at);
    tokens.iter().for_each(|token| assert_deadline(token, at));
    middle.disarm();
    root.disarm();
    assert!(tokens.iter().all(|token| token.deadline().is_none()));
}

#[test]
fn a_shield_has_no_deadline() {
    let source = Source::with_timeout(HOUR);
    let shielded = source.token().shielded();
    assert_eq!(shielded.deadline(), None);
    assert!(!shielded.can_be_cancelled());
    assert_eq!(shielded, Token::never());
    let bounded = source.token().shielded_for(HOUR * 3);
    let at_least = Instant::now() + HOUR * 2;
    assert!(bounded.token().deadline().expect("bounded") > at_least);
}

#[test]
fn remaining_counts_down_to_zero() {
    let source = Source::with_timeout(HOUR);
    let first = source.token().remaining().expect("armed");
    let second = source.token().remaining().expect("armed");
    assert!(second <= first && first <= HOUR + TICK);
    assert!(first > HOUR / 2);
    let gone = Token::never().child_with_timeout(Duration::ZERO).token();
    assert!(gone.remaining().is_none_or(|left| left.is_zero()));
}

/// A time that stands still and remembers what it was told.
#[derive(Clone)]
struct Still {
    now: Arc<Mutex<Instant>>,
    told: Arc<Mutex<Vec<Option<Instant>>>>,
}

impl Still {
    fn new() -> Self {
        Self { now: Arc::new(Mutex::new(Instant::now())), told: Arc::default() }
    }

    fn pass(&self, time: Duration) -> Instant {
        let mut now = lock(&self.now);
        *now += time;
        *now
    }

    fn last_told(&self) -> Option<Instant> {
        lock(&self.told).last().copied().flatten()
    }
}

impl TimeSource for Still {
    fn now(&self) -> Instant {
        *lock(&self.now)
    }

    fn arm(&self, next: Option<Instant>) {
        lock(&self.told).push(next);
    }
}

#[test]
fn a_time_source_is_told_of_the_next_deadline_never_too_late() {
    let time = Still::new();
    let clock = Clock::new(time.clone());
    let begin = time.now();
    let root = Source::with_clock(clock.clone());
    let children = [5_u32, 3, 4].map(|hours| root.token().child_with_timeout(HOUR * hours));
    assert!(time.last_told().is_some_and(|next| next <= begin + HOUR * 3 + TICK));
    children[0].cancel_after(HOUR);
    assert!(time.last_told().is_some_and(|next| next <= begin + HOUR + TICK));

    time.pass(HOUR);
    assert!(!children[0].is_cancelled(), "nobody has fired it yet");
    clock.fire_due();
    assert!(children[0].is_cancelled());
    assert!(!children[1].is_cancelled());
    assert!(time.last_told().is_some_and(|next| next <= begin + HOUR * 3 + TICK));
    time.pass(HOUR * 9);
    clock.fire_due();
    assert!(children.iter().all(Source::is_cancelled));
    assert_eq!(children[1].token().reason(), Some(Reason::Deadline));
}

#[test]
fn firing_what_is_due_fires_nothing_else_on_the_thread_of_the_caller() {
    let time = Still::new();
    let clock = Clock::new(time.clone());
    clock.fire_due();
    let source = Source::with_clock(clock.clone());
    source.cancel_after(HOUR);
    let called = Count::new();
    let (count, here) = (called.clone(), std::thread::current().id());
    let _held = source.token().on_cancel(move |_| {
        assert_eq!(std::thread::current().id(), here);
        count.add();
    });
    clock.fire_due();
    assert_eq!(called.get(), 0);
    time.pass(HOUR);
    clock.fire_due();
    clock.fire_due();
    assert_eq!(called.get(), 1);
}

#[test]
fn a_time_source_has_one_teller_at_a_time_who_looks_again() {
    /// Remembers what it was told last, and that nobody else told it meanwhile.
    struct Told(Instant, Arc<Mutex<Option<Instant>>>, Arc<AtomicUsize>);

    impl TimeSource for Told {
        fn now(&self) -> Instant {
            self.0
        }

        fn arm(&self, next: Option<Instant>) {
            assert_eq!(self.2.fetch_add(1, Ordering::SeqCst), 0, "two tellers at once");
            std::thread::yield_now();
            *lock(&self.1) = next;
            self.2.fetch_sub(1, Ordering::SeqCst);
        }
    }

    for _ in 0..200 {
        let (now, last) = (Instant::now(), Arc::<Mutex<Option<Instant>>>::default());
        let clock = Clock::new(Told(now, Arc::clone(&last), Arc::default()));
        let root = Source::with_clock(clock);
        let armed = crate::common::race::all_at_once(3, |thread| {
            let minutes = (1..40).rev().map(|n| n * 3 + u32::try_from(thread).expect("small"));
            let arm = |n| root.token().child_with_timeout(Duration::from_secs(60) * n);
            minutes.map(arm).collect::<Vec<_>>()
        });
        let next = *lock(&last);
        let first = now + Duration::from_secs(180);
        assert!(next.is_some_and(|next| next <= first + TICK), "told too late: {next:?}");
        drop(armed);
    }
}

#[test]
fn a_time_source_is_told_of_every_earlier_deadline() {
    let time = Still::new();
    let root = Source::with_clock(Clock::new(time.clone()));
    let mut armed = Vec::new();
    // Also of one that is earlier by less than the system's clock tells apart.
    for before in [0, 1, 2, 1_000, 1_000_000].map(Duration::from_nanos) {
        let child = root.token().child_with_timeout(Duration::from_millis(40) - before);
        assert!(time.last_told() <= child.token().deadline(), "earlier by {before:?}");
        assert!(time.last_told().is_some());
        armed.push(child);
    }
}

#[test]
fn what_has_come_at_once_is_fired_in_the_order_of_the_deadlines() {
    let time = Still::new();
    let clock = Clock::new(time.clone());
    let root = Source::with_clock(clock.clone());
    let fired = Arc::new(Mutex::new(Vec::new()));
    // In other orders than that in which they come, and some less than a tick apart.
    let armed = [700, 30, 2_000_000, 500, 40_000_000, 10, 600].map(|nanos| {
        let child = root.token().child_with_timeout(Duration::from_nanos(nanos));
        let fired = Arc::clone(&fired);
        child.token().on_cancel(move |_| lock(&fired).push(nanos)).detach();
        child
    });
    time.pass(HOUR);
    clock.fire_due();
    assert_eq!(*lock(&fired), [10, 30, 500, 600, 700, 2_000_000, 40_000_000]);
    drop(armed);
}

#[test]
fn a_cancel_takes_the_deadline_off_its_clock_and_those_below_too() {
    for from_above in [false, true] {
        let time = Still::new();
        let clock = Clock::new(time.clone());
        let root = Source::with_clock(clock.clone());
        let armed = if from_above { root.child() } else { root.clone() };
        armed.cancel_after(HOUR);
        assert!(time.last_told().is_some());
        root.cancel();
        clock.fire_due();
        assert_eq!(time.last_told(), None, "nothing is armed; from above: {from_above}");
        assert!(armed.token().deadline().is_some(), "it is still told what was armed");
    }
}

#[test]
fn a_time_source_is_called_without_a_lock() {
    /// Uses the signal of its own clock whenever it is asked or told.
    struct Curious(Still, Arc<Mutex<Option<Source>>>);

    impl Curious {
        fn look(&self) {
            let Some(source) = lock(&self.1).clone() else {
                return;
            };
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let child = source.child();
                    drop(child.token().on_cancel(|_| ()));
                    let _ = (child.token().can_be_cancelled(), format!("{child:?}"));
                });
            });
        }
    }

    impl TimeSource for Curious {
        fn now(&self) -> Instant {
            self.0.now()
        }

        fn arm(&self, next: Option<Instant>) {
            self.look();
            self.0.arm(next);
        }
    }

    crate::common::no_deadlock(|| {
        let time = Still::new();
        let slot: Arc<Mutex<Option<Source>>> = Arc::default();
        let clock = Clock::new(Curious(time.clone(), Arc::clone(&slot)));
        let source = Source::with_clock(clock.clone());
        *lock(&slot) = Some(source.clone());
        source.cancel_after(HOUR);
        let child = source.token().child_with_timeout(HOUR / 2);
        child.disarm();
        source.cancel_after(HOUR / 4);
        time.pass(HOUR);
        clock.fire_due();
        assert!(source.is_cancelled());
        lock(&slot).take();
    });
}

#[cfg(feature = "testing")]
mod by_hand {
    use desist::testing::ManualClock;

    use super::*;
    use crate::common::Log;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_child_inherits_the_clock_of_its_parent() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let sources = [
            root.token().child_with_timeout(SECOND),
            root.child().token().child_with_timeout(SECOND),
            Source::linked([root.token(), Source::new().token()]),
        ];
        sources[2].cancel_after(SECOND);
        assert_eq!(sources[0].token().deadline(), Some(clock.now() + SECOND));
        assert_eq!(sources[0].token().remaining(), Some(SECOND));
        clock.advance(SECOND / 4);
        assert_eq!(sources[0].token().remaining(), Some(SECOND * 3 / 4));
        clock.advance(SECOND * 3 / 4);
        assert!(sources.iter().all(Source::is_cancelled));
        assert!(!root.is_cancelled());
    }

    #[test]
    fn a_child_that_is_born_cancelled_inherits_the_clock_too() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        root.cancel();
        let token = root.token();
        for child in [root.child(), token.child(), Source::linked([&token]), token.child().child()]
        {
            let cleanup = child.token().shielded_for(SECOND);
            assert_eq!(cleanup.token().deadline(), Some(clock.now() + SECOND));
        }
    }

    #[test]
    fn a_linked_child_takes_the_clock_of_its_first_parent() {
        let (first, second) = (ManualClock::new(), ManualClock::new());
        let parents = [&first, &second].map(|clock| Source::with_clock(clock.clock()));
        let linked = Source::linked(parents.each_ref().map(Source::token));
        linked.cancel_after(SECOND);
        second.advance(SECOND * 9);
        assert!(!linked.is_cancelled());
        first.advance(SECOND);
        assert_eq!(linked.token().reason(), Some(Reason::Deadline));
    }

    #[test]
    fn each_deadline_stays_on_its_own_clock_and_arrives_by_the_link() {
        let (first, second) = (ManualClock::new(), ManualClock::new());
        let parents = [&first, &second].map(|clock| Source::with_clock(clock.clock()));
        parents[0].cancel_after(SECOND * 5);
        parents[1].cancel_after(SECOND * 5);
        let linked = Source::linked(parents.each_ref().map(Source::token));
        first.advance(SECOND * 4);
        assert!(!linked.is_cancelled());
        second.advance(SECOND * 5);
        assert_eq!(linked.token().reason(), Some(Reason::Deadline));
        assert!(!parents[0].is_cancelled() && parents[1].is_cancelled());
    }

    #[test]
    fn advancing_fires_in_the_order_of_the_deadlines() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let log = Log::new();
        let order = [50_u64, 7, 1, 100_000, 3, 64, 65, 4_096, 2, 1_000, 63, 8];
        let _held: Vec<_> = order
            .iter()
            .map(|millis| {
                let child = root.token().child_with_timeout(Duration::from_millis(*millis));
                let (log, millis) = (log.clone(), *millis);
                let held = child.token().on_cancel(move |_| log.push(millis));
                (child, held)
            })
            .collect();
        clock.advance(Duration::from_millis(1_000));
        assert_eq!(log.take(), [1, 2, 3, 7, 8, 50, 63, 64, 65, 1_000]);
        clock.advance(Duration::from_secs(1_000));
        assert_eq!(log.take(), [4_096, 100_000]);
    }

    #[test]
    fn a_parents_deadline_comes_to_its_children_in_one_cancel() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        root.cancel_after(SECOND);
        let child = root.child().token().child_with_timeout(SECOND * 2);
        clock.advance(SECOND);
        assert!(child.is_cancelled());
        assert_eq!(child.token().reason(), Some(Reason::Deadline));
    }

    #[test]
    fn what_a_callback_arms_within_the_step_fires_within_the_step() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let (first, next) = (root.child(), root.child());
        first.cancel_after(SECOND);
        let (armed, at) = (next.clone(), clock.now() + SECOND * 2);
        let _held = first.token().on_cancel(move |_| armed.cancel_at(at));
        clock.advance(SECOND * 3);
        assert!(next.is_cancelled());
        assert_eq!(next.token().reason(), Some(Reason::Deadline));
    }

    #[test]
    fn random_deadlines_are_never_early_and_never_missed() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let mut random = crate::common::race::Random::new();
        let begin = clock.now();
        let sources: Vec<(Instant, Source)> = (0..3_000)
            .map(|n| {
                let spread = 1_u64 << (n % 40);
                let after = Duration::from_micros(1 + random.next() % (spread * 100));
                (begin + after, root.token().child_with_timeout(after))
            })
            .collect();
        for _ in 0..400 {
            clock.advance(Duration::from_micros(random.next() % (1 << random.below(36))));
            let now = clock.now();
            for (at, source) in &sources {
                assert_eq!(source.is_cancelled(), *at <= now, "{:?}", *at - begin);
            }
        }
    }

    #[test]
    fn clocks_do_not_disturb_each_other() {
        let (by_hand, system) = (ManualClock::new(), Source::with_clock(Clock::system()));
        let source = Source::with_clock(by_hand.clock());
        source.cancel_after(SECOND);
        system.cancel_after(HOUR);
        by_hand.advance(HOUR * 2);
        assert!(source.is_cancelled() && !system.is_cancelled());
    }
}
