//! Answers and calls in the wrong hands, and handlers in several.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use desist::{Source, Token};
use desist_mediator::{Answer, Behaviour, Call, Error, Handler, Mediator};
use tokio::sync::Notify;

use crate::around::{Add, Multiply, Shout, add, multiply, shout};
use crate::{at_once, poll};

/// Keeps the first answer, and exchanges it with the second.
#[derive(Clone, Default)]
struct Exchanges(Arc<Mutex<Option<Answer>>>, Arc<Notify>);
impl Behaviour for Exchanges {
    async fn handle(&self, call: Call) -> Result<Answer, Error> {
        let mine = call.proceed().await?;
        let other = self.0.lock().unwrap().take();
        if let Some(other) = other {
            *self.0.lock().unwrap() = Some(mine);
            self.1.notify_one();
            return Ok(other);
        }
        *self.0.lock().unwrap() = Some(mine);
        self.1.notified().await;
        Ok(self.0.lock().unwrap().take().unwrap())
    }
}

#[test]
fn exchanged_answers_are_told_and_nobody_panics() {
    let mediator = Mediator::builder()
        .behaviour(Exchanges::default())
        .handler(add)
        .handler(multiply)
        .handler(shout)
        .build()
        .unwrap();
    let never = Token::never();
    let told = |error: Error, name: &str| {
        let start = format!("`{name}` got the answer to another request; ");
        assert!(error.to_string().starts_with(&start), "{error}");
    };
    // Of another type.
    let mut one = pin!(mediator.send(&never, Add(1)));
    assert!(poll(&mut one).is_pending());
    told(at_once(mediator.send(&never, Shout("hey"))).unwrap_err(), "shout");
    told(at_once(one).unwrap_err(), "add");
    // Of another type with a response of the same.
    let mut one = pin!(mediator.send(&never, Add(1)));
    assert!(poll(&mut one).is_pending());
    told(at_once(mediator.send(&never, Multiply(7))).unwrap_err(), "multiply");
    told(at_once(one).unwrap_err(), "add");
    // Of the same type.
    let mut one = pin!(mediator.send(&never, Add(1)));
    assert!(poll(&mut one).is_pending());
    told(at_once(mediator.send(&never, Add(7))).unwrap_err(), "add");
    told(at_once(one).unwrap_err(), "add");
}

/// With the call of another request nobody gets out of a token that was narrowed.
#[test]
fn the_call_of_another_request_is_no_way_to_its_token() {
    let kept = Arc::new(Mutex::new(None::<Call>));
    let keeps = Arc::clone(&kept);
    let mediator = Mediator::builder()
        .behaviour(move |call: Call| {
            let keeps = Arc::clone(&keeps);
            async move {
                if let Some(Add(1)) = call.request::<Add>() {
                    *keeps.lock().unwrap() = Some(call);
                    return pending().await;
                }
                let other = keeps.lock().unwrap().take().unwrap();
                other.proceed().await
            }
        })
        .handler(add)
        .build()
        .unwrap();
    let (wide, narrow) = (Token::never(), Source::new());
    let mut one = pin!(mediator.send(&wide, Add(1)));
    assert!(poll(&mut one).is_pending());
    let error = at_once(mediator.send(&narrow.token(), Add(2))).unwrap_err();
    assert!(error.to_string().starts_with("`add` got the answer to another request"), "{error}");
}

/// One type for several kinds, and its state with it.
#[test]
fn what_is_shared_handles_and_behaves() {
    struct Sums {
        base: u32,
        asked: AtomicU64,
    }
    impl Handler<Add> for Sums {
        type Error = Error;
        async fn handle(&self, _stop: Token, Add(number): Add) -> Result<u32, Error> {
            Ok(self.base + number)
        }
    }
    impl Handler<Multiply> for Sums {
        type Error = Error;
        async fn handle(&self, _stop: Token, Multiply(number): Multiply) -> Result<u32, Error> {
            Ok(self.base * number)
        }
    }
    impl Behaviour for Sums {
        async fn handle(&self, call: Call) -> Result<Answer, Error> {
            // Ordering: any, for one thread.
            self.asked.fetch_add(1, SeqCst);
            call.proceed().await
        }
    }
    let sums = Arc::new(Sums { base: 10, asked: AtomicU64::new(0) });
    let builder = Mediator::builder().behaviour(Arc::clone(&sums));
    let builder = builder.handler::<Add>(Arc::clone(&sums)).handler::<Multiply>(Arc::clone(&sums));
    let mediator = builder.build().unwrap();
    assert_eq!(at_once(mediator.send(&Token::never(), Add(3))).unwrap(), 13);
    assert_eq!(at_once(mediator.send(&Token::never(), Multiply(3))).unwrap(), 30);
    // Ordering: any, for one thread.
    assert_eq!(sums.asked.load(SeqCst), 2);
}
