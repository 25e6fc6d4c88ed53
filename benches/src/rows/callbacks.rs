//! Row 5d: a callback that is registered and taken back. Few peers have one;
//! that of `cancellation` lasts only as long as a call.

use std::hint::black_box;

use crate::measure::{Batch, Entries, Row};
use crate::peers::{Cancellation, Desist, Peer};
use crate::sample::timed;

pub(super) const ROWS: &[Row] = &[Row::new(
    "5d",
    "callback: register, take back, ns each",
    "≤ 25",
    |entries: &mut Entries<'_>| {
        entries.add("desist on_cancel", register);
        entries.add("desist while_registered", register_for_a_call);
        entries.add("cancellation run", register_for_a_call_of_cancellation);
        entries.limit("box and drop a closure", box_a_closure());
    },
)];

fn register() -> Batch {
    let (source, token) = Desist::create();
    Batch::new(move |times| {
        let _live = &source;
        timed(|| {
            for captured in 0..times {
                drop(black_box(token.on_cancel(move |_| use_up(captured))));
            }
        })
    })
}

fn register_for_a_call() -> Batch {
    let (source, token) = Desist::create();
    Batch::new(move |times| {
        let _live = &source;
        timed(|| {
            for captured in 0..times {
                token.while_registered(|_| use_up(captured), || black_box(()));
            }
        })
    })
}

fn register_for_a_call_of_cancellation() -> Batch {
    let (source, token) = Cancellation::create();
    Batch::new(move |times| {
        let _live = &source;
        timed(|| {
            for captured in 0..times {
                token.run(|| use_up(captured), || black_box(()));
            }
        })
    })
}

fn box_a_closure() -> Batch {
    Batch::new(|times| {
        timed(|| {
            for captured in 0..times {
                let closure: Box<dyn FnOnce() + Send> = Box::new(move || use_up(captured));
                drop(black_box(closure));
            }
        })
    })
}

fn use_up(captured: u64) {
    black_box(captured);
}
