//! Promise 2: the whole tree is marked, then everybody is woken, then callbacks run.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use desist::{Reason, Source, Token, WhenCancelled};

use crate::common::race::{Side, all_at_once, race};
use crate::common::wakers::on_wake;
use crate::common::{Count, assert_same_cause, cause_of, lock, poll_once, poll_with};

/// The root and `fan` children below each token, `depth` levels deep.
fn tree(root: &Source, depth: usize, fan: usize) -> Vec<Source> {
    let mut all = vec![root.clone()];
    let mut level = vec![root.clone()];
    for _ in 0..depth {
        level = level.iter().flat_map(|parent| (0..fan).map(|_| parent.child())).collect();
        all.extend(level.iter().cloned());
    }
    all
}

fn tokens(sources: &[Source]) -> Arc<Vec<Token>> {
    Arc::new(sources.iter().map(Source::token).collect())
}

fn live(tokens: &[Token]) -> usize {
    tokens.iter().filter(|token| !token.is_cancelled()).count()
}

type Wait = Pin<Box<WhenCancelled<'static>>>;

/// A pending wait on each token; its waker calls the closure.
fn waits(tokens: &[Token], woken: impl Fn() + Send + Sync + Clone + 'static) -> Vec<Wait> {
    tokens
        .iter()
        .map(|token| {
            let mut wait = Box::pin(token.clone().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &on_wake(woken.clone())).is_pending());
            wait
        })
        .collect()
}

#[test]
fn no_descendant_is_live_when_the_first_waker_runs() {
    let root = Source::new();
    let all = tokens(&tree(&root, 3, 6));
    let (seen_live, woken) = (Count::new(), Count::new());
    let waits = waits(&all, {
        let (all, seen_live, woken) = (Arc::clone(&all), seen_live.clone(), woken.clone());
        move || {
            woken.add();
            for _ in 0..live(&all) {
                seen_live.add();
            }
        }
    });
    assert!(root.cancel());
    assert_eq!(woken.get(), waits.len(), "each waiter is woken once");
    assert_eq!(seen_live.get(), 0);
}

#[test]
fn no_descendant_is_live_when_the_first_callback_runs() {
    let root = Source::new();
    let all = tokens(&tree(&root, 3, 6));
    let (seen_live, called) = (Count::new(), Count::new());
    let held: Vec<_> = all
        .iter()
        .map(|token| {
            let (all, seen_live, called) = (Arc::clone(&all), seen_live.clone(), called.clone());
            token.on_cancel(move |_| {
                called.add();
                for _ in 0..live(&all) {
                    seen_live.add();
                }
            })
        })
        .collect();
    assert!(root.cancel());
    assert_eq!(called.get(), held.len(), "each callback runs once");
    assert_eq!(seen_live.get(), 0);
}

#[test]
fn everybody_is_woken_before_the_first_callback_runs() {
    let root = Source::new();
    let all = tokens(&tree(&root, 3, 5));
    let woken = Count::new();
    let missing = Count::new();
    // Registered before and after the waits, so that the order of the calls does not decide.
    let callback = |token: &Token, waiters: usize| {
        let (woken, missing) = (woken.clone(), missing.clone());
        token.on_cancel(move |_| {
            if woken.get() != waiters {
                missing.add();
            }
        })
    };
    let early: Vec<_> = all.iter().map(|token| callback(token, all.len())).collect();
    let waits = waits(&all, {
        let woken = woken.clone();
        move || {
            woken.add();
        }
    });
    let late: Vec<_> = all.iter().map(|token| callback(token, all.len())).collect();
    assert!(root.cancel());
    assert_eq!(woken.get(), waits.len());
    assert_eq!(missing.get(), 0, "of {} callbacks", early.len() + late.len());
}

#[test]
fn no_descendant_is_live_when_cancel_returns() {
    let root = Source::new();
    let all = tokens(&tree(&root, 4, 5));
    assert!(root.cancel());
    assert_eq!(live(&all), 0);
}

#[test]
fn a_tree_with_several_parents_is_marked_before_the_first_callback_runs() {
    let (left, right) = (Source::new(), Source::new());
    let middle: Vec<Source> =
        (0..4).map(|_| Source::linked([left.token(), right.token()])).collect();
    let bottom = Source::linked(middle.iter().map(Source::token));
    let below = bottom.child();
    let any = Token::any([below.token(), left.token()]);
    let mut list: Vec<Token> = middle.iter().map(Source::token).collect();
    list.extend([left.token(), bottom.token(), below.token(), any]);
    let all = Arc::new(list);

    let (seen_live, called, woken) = (Count::new(), Count::new(), Count::new());
    let waits = waits(&all, {
        let (all, seen_live, woken) = (Arc::clone(&all), seen_live.clone(), woken.clone());
        move || {
            woken.add();
            for _ in 0..live(&all) {
                seen_live.add();
            }
        }
    });
    let held: Vec<_> = all
        .iter()
        .map(|token| {
            let (all, seen_live, called) = (Arc::clone(&all), seen_live.clone(), called.clone());
            token.on_cancel(move |_| {
                called.add();
                for _ in 0..live(&all) {
                    seen_live.add();
                }
            })
        })
        .collect();
    assert!(left.cancel());
    assert_eq!((called.get(), woken.get()), (held.len(), waits.len()));
    assert_eq!(seen_live.get(), 0);
    assert!(!right.is_cancelled());
}

/// Two sources whose cancels meet in the tokens below both.
struct Meeting {
    upper: Source,
    lower: Source,
    below_lower: Arc<Vec<Token>>,
    below_upper: Arc<Vec<Token>>,
    seen_live: Count,
}

impl Meeting {
    /// Callbacks on every token look at all that must be marked by then.
    fn watch(self) -> Self {
        let below_lower = Arc::new(self.below_lower.to_vec());
        for token in self.below_lower.iter().chain(self.below_upper.iter()) {
            let (all, count) = (Arc::clone(&below_lower), self.seen_live.clone());
            token
                .on_cancel(move |_| {
                    for _ in 0..live(&all) {
                        count.add();
                    }
                })
                .detach();
        }
        self
    }

    fn cancel_upper(&self) -> (bool, usize) {
        let won = self.upper.cancel_with(Reason::Shutdown);
        (won, live(&self.below_upper))
    }

    fn cancel_lower(&self) -> (bool, usize) {
        let won = self.lower.cancel_with(Reason::Superseded);
        (won, live(&self.below_lower))
    }
}

#[test]
fn two_cancels_that_meet_in_the_middle_of_a_tree_leave_nobody_live() {
    race(
        || {
            let upper = Source::new();
            let lower = upper.child();
            let (below_lower, beside) = (tree(&lower, 2, 3), tree(&upper.child(), 1, 3));
            let all: Vec<Source> = below_lower.iter().chain(&beside).cloned().collect();
            Meeting {
                below_lower: tokens(&below_lower),
                below_upper: tokens(&all),
                seen_live: Count::new(),
                upper,
                lower,
            }
            .watch()
        },
        Meeting::cancel_upper,
        Meeting::cancel_lower,
        |meeting, upper, lower| {
            assert_eq!(upper, (true, 0), "live when the upper cancel returned");
            assert_eq!(lower.1, 0, "live when the lower cancel returned");
            assert_eq!(meeting.seen_live.get(), 0, "live when a callback ran");
            let expected = if lower.0 { Reason::Superseded } else { Reason::Shutdown };
            for token in meeting.below_lower.iter() {
                assert_eq!(token.reason(), Some(expected));
            }
            Side::left_if(!lower.0)
        },
    );
}

#[test]
fn two_cancels_that_meet_in_a_tree_with_several_parents_leave_nobody_live() {
    race(
        || {
            let (upper, lower) = (Source::new(), Source::new());
            let shared: Vec<Source> =
                (0..3).map(|_| Source::linked([upper.token(), lower.token()])).collect();
            let crossed = Source::linked(shared.iter().map(Source::token));
            let below: Vec<Source> =
                shared.iter().chain([&crossed]).flat_map(|source| tree(source, 1, 2)).collect();
            Meeting {
                below_lower: tokens(&below),
                below_upper: tokens(&below),
                seen_live: Count::new(),
                upper,
                lower,
            }
            .watch()
        },
        Meeting::cancel_upper,
        Meeting::cancel_lower,
        |meeting, upper, lower| {
            assert_eq!((upper, lower), ((true, 0), (true, 0)));
            assert_eq!(meeting.seen_live.get(), 0, "live when a callback ran");
            let first = cause_of(&meeting.below_lower[0]).reason();
            assert!([Reason::Shutdown, Reason::Superseded].contains(&first));
            Side::left_if(first == Reason::Shutdown)
        },
    );
}

#[test]
fn a_chain_cancelled_at_both_ends_and_in_the_middle_leaves_nobody_live() {
    for _ in 0..300 {
        let root = Source::new();
        let mut chain = vec![root];
        for _ in 0..40 {
            let next = chain[chain.len() - 1].child();
            chain.push(next);
        }
        let starts = [0, 10, 20, 30];
        let results = all_at_once(starts.len(), |index| {
            let start = starts[index];
            chain[start].cancel();
            chain[start..].iter().filter(|link| !link.is_cancelled()).count()
        });
        assert_eq!(results, [0; 4]);
    }
}

#[test]
fn the_loser_returns_to_a_tree_that_is_marked_too() {
    race(
        || {
            let root = Source::new();
            let all = tokens(&tree(&root, 3, 3));
            (root, all)
        },
        |(root, all)| (root.cancel(), live(all)),
        |(root, all)| (root.cancel(), live(all)),
        |_, left, right| {
            assert!(left.0 ^ right.0);
            assert_eq!((left.1, right.1), (0, 0));
            Side::left_if(left.0)
        },
    );
}

#[test]
fn a_child_made_while_its_parent_is_cancelled_is_never_missed() {
    race(
        Source::new,
        |parent| parent.cancel_with("gone"),
        |parent| {
            let token = parent.token();
            let child = token.child();
            let born = child.is_cancelled();
            (child, born)
        },
        |parent, won, (child, born)| {
            assert!(won);
            assert!(child.is_cancelled(), "born {born}");
            assert_same_cause(&cause_of(&parent.token()), &cause_of(&child.token()));
            Side::left_if(born)
        },
    );
}

#[test]
fn a_linked_child_made_while_a_root_is_cancelled_reports_the_cause_of_the_root() {
    race(
        || {
            let root = Source::new();
            let middle = root.child();
            (root, middle, Source::new())
        },
        |(root, ..)| root.cancel_with("gone"),
        |(root, middle, other)| {
            let child = Source::linked([other.token(), middle.token(), root.token()]);
            let born = child.is_cancelled();
            (child, born)
        },
        |(root, ..), won, (child, born)| {
            assert!(won && child.is_cancelled());
            assert_same_cause(&cause_of(&root.token()), &cause_of(&child.token()));
            Side::left_if(born)
        },
    );
}

#[test]
fn a_child_made_far_below_while_the_root_is_cancelled_is_never_missed() {
    race(
        || {
            let root = Source::new();
            let deep = (0..12).fold(root.clone(), |above, _| above.child());
            (root, deep)
        },
        |(root, _)| root.cancel_with("gone"),
        |(_, deep)| {
            let child = deep.child().child();
            let born = child.is_cancelled();
            (child, born)
        },
        |(root, deep), won, (child, born)| {
            assert!(won && deep.is_cancelled() && child.is_cancelled());
            assert_same_cause(&cause_of(&root.token()), &cause_of(&child.token()));
            Side::left_if(born)
        },
    );
}

#[test]
fn a_child_made_in_a_waker_or_in_a_callback_is_born_cancelled() {
    let root = Source::new();
    let deep = root.child().child();
    let made: Arc<Mutex<Vec<Source>>> = Arc::default();
    let make = {
        let (deep, root, made) = (deep.token(), root.token(), Arc::clone(&made));
        move || lock(&made).extend([deep.child(), root.child(), Source::linked([&deep])])
    };
    let mut wait = Box::pin(root.token().cancelled_owned());
    assert!(poll_with(wait.as_mut(), &on_wake(make.clone())).is_pending());
    let _held = deep.token().on_cancel(move |_| make());

    assert!(root.cancel_with("gone"));
    let made = lock(&made);
    assert_eq!(made.len(), 6);
    for child in made.iter() {
        assert_same_cause(&cause_of(&root.token()), &cause_of(&child.token()));
    }
    let Poll::Ready(cause) = poll_once(wait.as_mut()) else {
        panic!("a cancelled wait is ready");
    };
    assert_same_cause(&cause, &cause_of(&root.token()));
}
