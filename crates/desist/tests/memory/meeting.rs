//! A signal at which threads met: it has lists by thread from then on.

use std::pin::{Pin, pin};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use desist::{Source, WhenCancelled};

use crate::common::race::Random;
use crate::common::{PATIENCE, poll_once, poll_with, wakers};
use crate::heap::{allocates_nothing, allocations, leaves_nothing, live};

const MANY: usize = 1_000;

/// Two threads meet at the signal: one of them has to make the lists.
fn met(source: Source) -> Source {
    let begun = Instant::now();
    let together = Barrier::new(2);
    let make = || {
        together.wait();
        allocations(|| (0..MANY).for_each(|_| drop(source.child())))
    };
    loop {
        let asked = thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(make));
            threads.map(|thread| thread.join().expect("it makes children"))
        });
        if asked.iter().any(|&asked| asked > MANY) {
            return source;
        }
        assert!(begun.elapsed() < PATIENCE, "two threads met and nothing was made for them");
    }
}

type Waiting = Pin<Box<WhenCancelled<'static>>>;

/// Children and waits, made by this thread.
fn entries(source: &Source) -> (Vec<Source>, Vec<Waiting>) {
    let children = (0..200).map(|_| source.child()).collect();
    let waits = (0..200).map(|_| {
        let mut wait = Box::pin(source.token().cancelled_owned());
        assert!(poll_once(wait.as_mut()).is_pending());
        wait
    });
    (children, waits.collect())
}

/// The entries of four threads, mixed.
fn of_four_threads(source: &Source, random: &mut Random) -> (Vec<Source>, Vec<Waiting>) {
    let made = thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(|| entries(source)));
        threads.map(|thread| thread.join().expect("it makes entries"))
    });
    let (mut children, mut waits) = (Vec::new(), Vec::new());
    for (more_children, more_waits) in made {
        children.extend(more_children);
        waits.extend(more_waits);
    }
    random.shuffle(&mut children);
    random.shuffle(&mut waits);
    (children, waits)
}

#[test]
fn a_child_is_one_allocation_and_a_wait_none() {
    let source = met(Source::new());
    assert_eq!(allocations(|| drop(source.child())), 1);
    let token = source.token();
    let ((_, first), (_, second)) = (wakers::counting(), wakers::counting());
    allocates_nothing("a wait", || {
        let mut wait = pin!(token.cancelled());
        assert!(poll_with(wait.as_mut(), &first).is_pending());
        assert!(poll_with(wait.as_mut(), &second).is_pending());
    });
}

#[test]
fn all_leave_a_signal_that_lives_on() {
    leaves_nothing(|| {
        let source = met(Source::new());
        let mut random = Random::seeded(1);
        let (children, waits) = of_four_threads(&source, &mut random);
        let (mine, theirs) = children.split_at(300);
        mine.iter().step_by(2).for_each(|child| assert!(child.cancel()));
        thread::scope(|scope| {
            scope.spawn(|| theirs.iter().step_by(3).for_each(|child| drop(child.child())));
        });
        drop((children, waits));
        assert!(!source.is_cancelled());
    });
}

#[test]
fn the_cancel_finds_all_of_them() {
    leaves_nothing(|| {
        let source = Source::new();
        let before = entries(&source);
        let source = met(source);
        let (children, waits) = of_four_threads(&source, &mut Random::seeded(2));
        assert!(source.cancel());
        let children: Vec<_> = children.into_iter().chain(before.0).collect();
        assert!(children.iter().all(Source::is_cancelled), "no child is missed");
        for mut wait in waits.into_iter().chain(before.1) {
            assert!(poll_once(wait.as_mut()).is_ready());
        }
        // Who is born now finds it cancelled, and has no part in it.
        assert!(source.child().is_cancelled());
        drop(source);
        drop(children);
    });
}

#[test]
fn the_cancel_comes_through_a_signal_without_handles() {
    leaves_nothing(|| {
        let root = Source::new();
        let between = met(root.child());
        let (children, waits) = of_four_threads(&between, &mut Random::seeded(3));
        drop((between, waits));
        assert!(children.iter().all(|child| child.token().can_be_cancelled()));
        assert!(root.cancel());
        assert!(children.iter().all(Source::is_cancelled), "no child is missed");
    });
}

#[test]
fn threads_come_and_go_while_it_is_cancelled() {
    leaves_nothing(|| {
        let source = met(Source::new());
        let kept: Vec<Source> = thread::scope(|scope| {
            let token = source.token();
            let threads = [(); 3].map(|()| {
                let token = token.clone();
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    while !token.is_cancelled() {
                        kept.push(token.child());
                        drop(token.child());
                        let mut wait = pin!(token.cancelled());
                        let _ = poll_once(wait.as_mut());
                        kept.truncate(500);
                    }
                    kept.push(token.child());
                    kept
                })
            });
            source.cancel();
            drop(source);
            threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
        });
        assert!(kept.len() >= 3 && kept.iter().all(Source::is_cancelled));
    });
}

/// Whoever goes asks its list first, so that stays, bare, with the parent's memory.
#[test]
fn a_cancelled_child_that_is_held_keeps_the_bare_lists() {
    leaves_nothing(|| {
        let root = Source::new();
        let parent = met(root.child());
        let captured = vec![0_u8; 1 << 20];
        parent.token().on_cancel(move |_| drop(captured)).detach();
        let child = parent.child();
        assert!(child.cancel());
        let all = live();
        drop((parent, root));
        assert!(all - live() > 1 << 20, "what the parent owned goes with its last user");
        let kept = live();
        drop(child);
        assert!((1..2_048).contains(&(kept - live())), "it kept {} bytes", kept - live());
    });
}
