//! The threads of the system's clock when all of them are blocked. Alone in its process, because
//! other tests would wait for these threads, and these for theirs.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use desist::{Reason, Source};

use common::{Count, Gate, no_deadlock};

const SOON: Duration = Duration::from_millis(20);

#[test]
fn sixty_four_callbacks_may_block_and_what_comes_then_waits() {
    const LIMIT: usize = 64;
    no_deadlock(|| {
        let (begun, leave, ended) = (Count::new(), Gate::new(), Count::new());
        let sources: Vec<Source> = (0..LIMIT + 26)
            .map(|_| {
                let source = Source::with_timeout(SOON);
                let (begun, leave, ended) = (begun.clone(), leave.clone(), ended.clone());
                source
                    .token()
                    .on_cancel(move |_| {
                        begun.add();
                        leave.wait();
                        ended.add();
                    })
                    .detach();
                source
            })
            .collect();
        while begun.get() < LIMIT {
            thread::yield_now();
        }
        // All are due by now; another deadline comes to its time and waits as well.
        let late = Source::with_timeout(SOON);
        let due = late.token().deadline().expect("armed");
        while Instant::now() < due + SOON {
            thread::yield_now();
        }
        assert!(!late.is_cancelled(), "nobody is left to fire it");
        assert_eq!((begun.get(), ended.get()), (LIMIT, 0));
        leave.open();
        for source in sources.iter().chain([&late]) {
            assert_eq!(source.token().blocking_wait().reason(), Reason::Deadline);
        }
        while ended.get() < sources.len() {
            thread::yield_now();
        }
    });
}
