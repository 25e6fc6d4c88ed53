//! Which token goes along, and who can change that.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use desist::testing::ManualClock;
use desist::{Cancelled, Reason, Source, Token, find_cancelled};
use desist_mediator::{Call, Error, Mediator, MediatorBuilder, Request, Timeout, WeakMediator};
use tokio::sync::Notify;

use crate::{Log, at_once, chain, poll};

struct Ask;
impl Request for Ask {
    type Response = &'static str;
    fn name() -> &'static str {
        "ask"
    }
}

struct Other;
impl Request for Other {
    type Response = ();
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A behaviour, by what it does to the token.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// It is not there.
    Nothing,
    /// It is there, and says nothing of it.
    Forgets,
    Narrows,
    /// For this long.
    Bounds(u64),
    NarrowsToOther,
    NarrowsToNever,
    NarrowsToItself,
    /// For this long.
    Shields(u64),
    /// Around `Ask` alone.
    NarrowsThis,
    /// Around `Other` alone.
    NarrowsAnother,
    #[cfg(feature = "tower")]
    IsALayer,
}

/// All that one cell of the table is about.
struct Cell {
    clock: ManualClock,
    caller: Source,
    other: Source,
    /// Those that the behaviours narrowed with.
    narrowed: Arc<Mutex<Vec<Source>>>,
    /// The tokens that were seen, from the outside in; the handler's is the last.
    seen: Arc<Mutex<Vec<Token>>>,
    /// What each behaviour that looks was told, from the inside out.
    told: Arc<Mutex<Vec<Option<Cancelled>>>>,
    go: Arc<Notify>,
}

impl Cell {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            caller: Source::with_clock(clock.clock()),
            other: Source::with_clock(clock.clock()),
            clock,
            narrowed: Arc::default(),
            seen: Arc::default(),
            told: Arc::default(),
            go: Arc::default(),
        }
    }

    fn looks(&self, builder: MediatorBuilder) -> MediatorBuilder {
        let (seen, told) = (Arc::clone(&self.seen), Arc::clone(&self.told));
        builder.behaviour(move |call: Call| {
            seen.lock().unwrap().push(call.token().clone());
            let told = Arc::clone(&told);
            async move {
                let answer = call.proceed().await;
                let cancelled = answer.as_ref().err().and_then(Error::cancelled).cloned();
                told.lock().unwrap().push(cancelled);
                answer
            }
        })
    }

    fn with(&self, builder: MediatorBuilder, does: Does) -> MediatorBuilder {
        let narrowed = Arc::clone(&self.narrowed);
        let narrows = move |mut call: Call| {
            narrowed.lock().unwrap().push(call.narrow());
            call.proceed()
        };
        let other = self.other.token();
        match does {
            Does::Nothing => builder,
            Does::Forgets => {
                builder.behaviour(|call: Call| async { Box::pin(call.proceed()).await })
            }
            Does::Narrows => builder.behaviour(narrows),
            Does::Bounds(limit) => builder.behaviour(Timeout::new(s(limit))),
            Does::NarrowsToOther => builder.behaviour(move |mut call: Call| {
                call.narrow_to(&other);
                call.proceed()
            }),
            Does::NarrowsToNever => builder.behaviour(|mut call: Call| {
                call.narrow_to(&Token::never());
                call.proceed()
            }),
            Does::NarrowsToItself => builder.behaviour(|mut call: Call| {
                let token = call.token().clone();
                call.narrow_to(&token);
                call.proceed()
            }),
            Does::Shields(bound) => builder.behaviour(move |mut call: Call| {
                call.shield(s(bound));
                call.proceed()
            }),
            Does::NarrowsThis => builder.behaviour_for::<Ask>(narrows),
            Does::NarrowsAnother => builder.behaviour_for::<Other>(narrows),
            #[cfg(feature = "tower")]
            Does::IsALayer => builder.layer(tower::limit::ConcurrencyLimitLayer::new(1)),
        }
    }

    fn mediator(&self, first: Does, second: Does) -> Mediator {
        let (seen, go) = (Arc::clone(&self.seen), Arc::clone(&self.go));
        let builder = self.with(self.looks(Mediator::builder()), first);
        let builder = self.with(self.looks(builder), second);
        self.looks(builder)
            .handler(move |stop: Token, _: Ask| {
                seen.lock().unwrap().push(stop.clone());
                let go = Arc::clone(&go);
                async move { stop.run(go.notified()).await.map(|()| "done") }
            })
            .handler(|_: Token, _: Other| async { Ok::<_, Error>(()) })
            .build()
            .unwrap()
    }

    /// `=` for the token of the caller, and a letter for each other one.
    fn which(&self) -> String {
        let mut known = vec![self.caller.token()];
        let letter = |token: &Token| {
            let at = known.iter().position(|known| known == token).unwrap_or_else(|| {
                known.push(token.clone());
                known.len() - 1
            });
            ['=', 'a', 'b'][at]
        };
        self.seen.lock().unwrap().iter().map(letter).collect()
    }

    fn reasons(&self) -> String {
        self.seen.lock().unwrap().iter().map(|token| letter(token.reason())).collect()
    }
}

fn letter(reason: Option<Reason>) -> char {
    match reason {
        None => '-',
        Some(Reason::Disconnected) => 'D',
        Some(Reason::Superseded) => 'S',
        Some(Reason::Overload) => 'O',
        Some(Reason::Deadline) => 'T',
        Some(reason) => panic!("nobody cancels with {reason}"),
    }
}

/// Who cancels, and with what: the caller `Disconnected`, the first and the second behaviour
/// that narrows `Superseded`, the other token `Overload`; or seven seconds are over.
const WHO: [&str; 6] = ["nobody", "caller", "first", "second", "other", "time"];

/// What was seen by a behaviour before both, one between, one after, and the handler: which
/// token, and with what it is cancelled when each of `WHO` has cancelled.
type Row = (Does, Does, &'static str, [&'static str; 6]);

#[test]
fn who_sees_which_token_and_is_told_which_reason() {
    use Does::*;
    let none = "----";
    let rows: &[Row] = &[
        (Nothing, Nothing, "====", [none, "DDDD", none, none, none, none]),
        (Forgets, Nothing, "====", [none, "DDDD", none, none, none, none]),
        (Narrows, Nothing, "=aaa", [none, "DDDD", "-SSS", none, none, none]),
        (Narrows, Forgets, "=aaa", [none, "DDDD", "-SSS", none, none, none]),
        (Forgets, Narrows, "==aa", [none, "DDDD", "--SS", none, none, none]),
        (Narrows, Narrows, "=abb", [none, "DDDD", "-SSS", "--SS", none, none]),
        (Bounds(5), Nothing, "=aaa", [none, "DDDD", none, none, none, "-TTT"]),
        (Bounds(5), Forgets, "=aaa", [none, "DDDD", none, none, none, "-TTT"]),
        (Bounds(9), Nothing, "=aaa", [none, "DDDD", none, none, none, none]),
        (Bounds(5), Bounds(9), "=abb", [none, "DDDD", none, none, none, "-TTT"]),
        (Bounds(9), Bounds(5), "=abb", [none, "DDDD", none, none, none, "--TT"]),
        (Bounds(5), Narrows, "=abb", [none, "DDDD", "--SS", none, none, "-TTT"]),
        (Narrows, Bounds(5), "=abb", [none, "DDDD", "-SSS", none, none, "--TT"]),
        (NarrowsToOther, Nothing, "=aaa", [none, "DDDD", none, none, "-OOO", none]),
        (NarrowsToOther, Narrows, "=abb", [none, "DDDD", "--SS", none, "-OOO", none]),
        (Narrows, NarrowsToOther, "=abb", [none, "DDDD", "-SSS", none, "--OO", none]),
        (NarrowsToOther, NarrowsToOther, "=abb", [none, "DDDD", none, none, "-OOO", none]),
        (NarrowsToNever, NarrowsToItself, "====", [none, "DDDD", none, none, none, none]),
        (Narrows, NarrowsToNever, "=aaa", [none, "DDDD", "-SSS", none, none, none]),
        (Shields(60), Nothing, "=aaa", [none, "D---", none, none, none, none]),
        (Shields(5), Nothing, "=aaa", [none, "D---", none, none, none, "-TTT"]),
        (Shields(60), Narrows, "=abb", [none, "D---", "--SS", none, none, none]),
        (Narrows, Shields(60), "=abb", [none, "DD--", "-S--", none, none, none]),
        (Shields(60), Bounds(5), "=abb", [none, "D---", none, none, none, "--TT"]),
        (Shields(60), NarrowsToOther, "=abb", [none, "D---", none, none, "--OO", none]),
        (NarrowsToOther, Shields(60), "=abb", [none, "DD--", none, none, "-O--", none]),
        (NarrowsThis, Nothing, "=aaa", [none, "DDDD", "-SSS", none, none, none]),
        (NarrowsAnother, Nothing, "====", [none, "DDDD", none, none, none, none]),
        (NarrowsAnother, NarrowsThis, "==aa", [none, "DDDD", "--SS", none, none, none]),
        #[cfg(feature = "tower")]
        (IsALayer, Nothing, "====", [none, "DDDD", none, none, none, none]),
        #[cfg(feature = "tower")]
        (Narrows, IsALayer, "=aaa", [none, "DDDD", "-SSS", none, none, none]),
        #[cfg(feature = "tower")]
        (IsALayer, Narrows, "==aa", [none, "DDDD", "--SS", none, none, none]),
        #[cfg(feature = "tower")]
        (IsALayer, Shields(5), "==aa", [none, "DD--", none, none, none, "--TT"]),
    ];
    for &(first, second, which, reasons) in rows {
        for (who, reasons) in WHO.into_iter().zip(reasons) {
            one_cell(first, second, who, which, reasons);
        }
    }
}

fn one_cell(first: Does, second: Does, who: &str, which: &str, reasons: &str) {
    let here = format!("{first:?}, then {second:?}; {who} cancels");
    let cell = Cell::new();
    let mediator = cell.mediator(first, second);
    let mut sending = pin!(mediator.send(&cell.caller.token(), Ask));
    assert!(poll(&mut sending).is_pending(), "{here}");
    assert_eq!(cell.which(), which, "{here}: the tokens");
    let narrowed = |at: usize| cell.narrowed.lock().unwrap().get(at).cloned();
    let (reason, source) = match who {
        "caller" => (Reason::Disconnected, Some(cell.caller.clone())),
        "first" => (Reason::Superseded, narrowed(0)),
        "second" => (Reason::Superseded, narrowed(1)),
        "other" => (Reason::Overload, Some(cell.other.clone())),
        _ => (Reason::Deadline, None),
    };
    if let Some(source) = source {
        source.cancel_with(reason);
    }
    if who == "time" {
        cell.clock.advance(s(7));
    }
    assert_eq!(cell.reasons(), reasons, "{here}: the reasons");
    let mut end = poll(&mut sending);
    if end.is_pending() {
        cell.go.notify_one();
        end = poll(&mut sending);
    }
    let Poll::Ready(end) = end else { panic!("{here}: it goes on") };
    let handlers = cell.seen.lock().unwrap().last().unwrap().cancellation();
    match &end {
        Ok(answer) => assert_eq!((*answer, &handlers), ("done", &None), "{here}"),
        Err(error) => {
            assert_eq!(error.to_string(), "`ask` was cancelled", "{here}");
            assert_eq!(error.cancelled(), handlers.as_ref(), "{here}: the caller is told");
        }
    }
    let told = cell.told.lock().unwrap();
    assert_eq!(*told, [handlers.clone(), handlers.clone(), handlers], "{here}: behaviours");
}

#[test]
fn nobody_gets_the_wider_token_back() {
    type Tries = fn(&mut Call);
    let tries: [(&str, Tries); 6] = [
        ("nothing", |_| ()),
        ("another child", |call| drop(call.narrow())),
        ("never", |call| call.narrow_to(&Token::never())),
        ("one that nobody can cancel any more", |call| call.narrow_to(&Source::new().token())),
        ("the child of another", |call| call.narrow_to(&Source::new().child().token())),
        ("a longer time", |call| call.narrow().cancel_after(Duration::MAX)),
    ];
    for (first, one) in tries {
        for (second, other) in tries {
            let here = format!("{first}, then {second}");
            let narrow = Arc::new(Mutex::new(None));
            let kept = Arc::clone(&narrow);
            let mediator = Mediator::builder()
                .behaviour(move |mut call: Call| {
                    *kept.lock().unwrap() = Some(call.narrow());
                    call.proceed()
                })
                .behaviour(move |mut call: Call| {
                    one(&mut call);
                    call.proceed()
                })
                .behaviour(move |mut call: Call| {
                    other(&mut call);
                    call.proceed()
                })
                .handler(|stop: Token, _: Ask| async move { Err(stop.cancelled().await) })
                .build()
                .unwrap();
            let mut sending = pin!(mediator.send(&Token::never(), Ask));
            assert!(poll(&mut sending).is_pending(), "{here}");
            narrow.lock().unwrap().take().unwrap().cancel_with(Reason::Superseded);
            let Poll::Ready(Err(error)) = poll(&mut sending) else { panic!("{here}") };
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded, "{here}");
        }
    }
}

#[test]
fn a_shield_gives_no_token_back_but_one_with_a_bound() {
    let clock = ManualClock::new();
    let caller = Source::with_clock(clock.clock());
    let mediator = Mediator::builder()
        .behaviour(|mut call: Call| {
            call.shield(s(5));
            call.proceed()
        })
        .handler(|stop: Token, _: Ask| async move { Err(stop.cancelled().await) })
        .build()
        .unwrap();
    let mut sending = pin!(mediator.send(&caller.token(), Ask));
    assert!(poll(&mut sending).is_pending());
    caller.cancel();
    clock.advance(s(4));
    assert!(poll(&mut sending).is_pending());
    clock.advance(s(1));
    let Poll::Ready(Err(error)) = poll(&mut sending) else { panic!("it is bounded") };
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
}

#[test]
fn nobody_begins_on_a_cancelled_token() {
    // The one who cancels: the caller, each of three behaviours, or nobody.
    for who in 0..=4 {
        let (log, source) = (Log::default(), Source::new());
        let mut builder = Mediator::builder();
        for place in 1..=3 {
            let (log, source) = (log.clone(), source.clone());
            builder = builder.behaviour(move |call: Call| {
                log.say(format!("behaviour {place}"));
                if place == who {
                    source.cancel_with(Reason::Overload);
                }
                call.proceed()
            });
        }
        let handles = log.clone();
        let handler = move |_: Token, _: Ask| {
            handles.say("handler");
            async { Ok::<_, Error>("done") }
        };
        let mediator = builder.handler(handler).build().unwrap();
        let sending = mediator.send(&source.token(), Ask);
        if who == 0 {
            // After it was sent, before anybody polls it.
            source.cancel_with(Reason::Overload);
        }
        let end = at_once(sending);
        let all = ["behaviour 1", "behaviour 2", "behaviour 3", "handler"];
        assert_eq!(log.said(), all[..who], "{who} cancels");
        if who == 4 {
            assert_eq!(end.unwrap(), "done");
        } else {
            let error = end.unwrap_err();
            assert_eq!(error.cancelled(), source.token().cancellation().as_ref());
            assert_eq!(error.to_string(), "`ask` was cancelled");
        }
    }
}

#[test]
fn a_shield_comes_too_late_for_who_is_cancelled_already() {
    let log = Log::default();
    let says = log.clone();
    let mediator = Mediator::builder()
        .behaviour(move |mut call: Call| {
            says.say("shield");
            call.shield(s(5));
            call.proceed()
        })
        .handler(|_: Token, _: Ask| async { Ok::<_, Error>("done") })
        .build()
        .unwrap();
    let cancelled = Token::cancelled_with(Reason::Shutdown);
    assert!(at_once(mediator.send(&cancelled, Ask)).is_err());
    assert!(log.said().is_empty());
}

/// A walk of so many steps, each a request of the one before.
struct Walk(u32);
impl Request for Walk {
    type Response = u32;
    fn name() -> &'static str {
        "walk"
    }
}

fn walks(mediator: WeakMediator) -> impl desist_mediator::Handler<Walk> {
    move |stop: Token, Walk(steps)| {
        let mediator = mediator.clone();
        async move {
            match steps {
                0 => {
                    stop.cancelled().await;
                    stop.check().map(|()| 0).map_err(Error::from)
                }
                _ => Ok(1 + mediator.send(&stop, Walk(steps - 1)).await?),
            }
        }
    }
}

#[test]
fn a_cancellation_is_told_through_nested_requests() {
    for narrow in [false, true] {
        let builder = Mediator::builder();
        let weak = builder.weak();
        let mediator = builder
            .behaviour(move |mut call: Call| {
                if narrow {
                    call.narrow();
                }
                call.proceed()
            })
            .behaviour(Timeout::new(s(3600)).grace(Duration::MAX))
            .handler(walks(weak))
            .build()
            .unwrap();
        let client = Source::new();
        let mut sending = pin!(mediator.send(&client.token(), Walk(6)));
        assert!(poll(&mut sending).is_pending());
        let line = line!() + 1;
        client.cancel_with(Reason::Disconnected.with("the client has gone"));
        // The second one is not seen by anybody.
        client.cancel_with(Reason::Shutdown);
        let Poll::Ready(Err(error)) = poll(&mut sending) else { panic!("it goes on") };
        let cancelled = error.cancelled().unwrap();
        assert_eq!(Some(cancelled), client.token().cancellation().as_ref());
        assert_eq!(cancelled.reason(), Reason::Disconnected);
        assert_eq!(cancelled.detail().unwrap().to_string(), "the client has gone");
        assert_eq!((cancelled.origin().file(), cancelled.origin().line()), (file!(), line));
        assert_eq!(find_cancelled(&error), Some(cancelled));
        let mut texts = vec!["`walk` was cancelled"; 7];
        texts.extend(["cancelled: disconnected", "the client has gone"]);
        assert_eq!(chain(&error), texts);
    }
}

#[test]
fn a_request_of_a_behaviour_is_the_cause_and_not_the_request() {
    let builder = Mediator::builder();
    let weak = builder.weak();
    let mediator = builder
        .behaviour_for::<Ask>(move |call: Call| {
            let weak = weak.clone();
            async move {
                // Nobody handles it.
                weak.send(call.token(), Other).await?;
                call.proceed().await
            }
        })
        .handler(|_: Token, _: Ask| async { Ok::<_, Error>("done") })
        .build()
        .unwrap();
    let error = at_once(mediator.send(&Token::never(), Ask)).unwrap_err();
    assert_eq!((error.request(), error.is_unhandled()), ("ask", false));
    let cause = error.failure().unwrap().downcast_ref::<Error>().unwrap();
    assert!(cause.is_unhandled() && cause.request().ends_with("Other"), "{cause}");
}

/// What a handler does with its own time is the handler's: nobody has to wait.
#[test]
fn a_handler_that_does_not_look_at_its_token_is_waited_for() {
    let mediator = Mediator::builder()
        .handler(|_: Token, _: Ask| pending::<Result<_, Error>>())
        .build()
        .unwrap();
    let source = Source::new();
    let mut sending = pin!(mediator.send(&source.token(), Ask));
    assert!(poll(&mut sending).is_pending());
    source.cancel();
    assert!(poll(&mut sending).is_pending());
}
