//! Errors: what they print, how they are found, and that nothing repeats itself.

use std::io;
use std::sync::Arc;

use desist::{Reason, Token, find_cancelled};
use desist_mediator::{
    BoxError, Call, Error, Invalid, Mediator, Notification, Request, Validation,
};

use crate::{at_once, chain};

/// Fails as it says.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Io,
    Cancelled,
    CancelledBelow,
    Own,
    OwnInvalid,
    InABehaviour,
    Invalid,
}
impl Request for Fails {
    type Response = ();
    fn name() -> &'static str {
        "fails"
    }
    fn validate(&self) -> Result<(), Invalid> {
        Invalid::unless(*self != Self::Invalid, "text", "must not be empty")
    }
}

struct Unhandled;
impl Request for Unhandled {
    type Response = ();
    fn name() -> &'static str {
        "unhandled"
    }
}

async fn fails(_stop: Token, how: Fails) -> Result<(), BoxError> {
    let cancelled = || Token::cancelled_with(Reason::LeaseLost).check().unwrap_err();
    Err(match how {
        Fails::Io => io::Error::other("no space").into(),
        Fails::Cancelled => cancelled().into(),
        Fails::CancelledBelow => io::Error::from(cancelled()).into(),
        Fails::Own => Error::new("the account is locked").into(),
        Fails::OwnInvalid => Error::from(Invalid::new("age", "must be 18 or more")).into(),
        _ => return Ok(()),
    })
}

fn mediator() -> Mediator {
    Mediator::builder()
        .behaviour(Validation)
        .behaviour(|call: Call| async {
            match call.request::<Fails>() {
                Some(Fails::InABehaviour) => Err(Error::new("not for you")),
                _ => call.proceed().await,
            }
        })
        .handler(fails)
        .build()
        .unwrap()
}

#[test]
fn each_text_is_one_level_and_says_nothing_twice() {
    let mediator = mediator();
    let never = Token::never();
    let rows: [(Fails, &[&str]); 7] = [
        (Fails::Io, &["`fails` failed", "no space"]),
        (Fails::Cancelled, &["`fails` was cancelled", "cancelled: lease lost"]),
        (Fails::CancelledBelow, &["`fails` was cancelled", "cancelled: lease lost"]),
        (Fails::Own, &["`fails` failed", "the account is locked"]),
        (Fails::OwnInvalid, &["`fails` is not valid", "age: must be 18 or more"]),
        (Fails::InABehaviour, &["`fails` failed", "not for you"]),
        (Fails::Invalid, &["`fails` is not valid", "text: must not be empty"]),
    ];
    for (how, texts) in rows {
        let error = at_once(mediator.send(&never, how)).unwrap_err();
        assert_eq!(chain(&error), texts);
        assert_eq!(error.request(), "fails");
        let cancelled = matches!(how, Fails::Cancelled | Fails::CancelledBelow);
        assert_eq!(error.cancelled().is_some(), cancelled, "{error}");
        // From outside, where nobody knows what it is.
        let outside = io::Error::other(error);
        let reason = find_cancelled(&outside).map(desist::Cancelled::reason);
        assert_eq!(reason, cancelled.then_some(Reason::LeaseLost));
    }
}

#[test]
fn texts_are_readable() {
    struct Heard;
    impl Notification for Heard {
        fn name() -> &'static str {
            "heard"
        }
    }
    let mediator = mediator();
    let never = Token::never();
    let weak = Mediator::builder().build().unwrap().downgrade();
    let deaf = Mediator::builder()
        .notification_handler(|_: Token, _: Arc<Heard>| async { Err("deaf") })
        .build()
        .unwrap();
    let stopped = Token::cancelled_with(Reason::Shutdown);
    let exchanged = Mediator::builder()
        .behaviour(|call: Call| async { call.answer::<Unhandled>(()) })
        .handler(fails)
        .build()
        .unwrap();
    let all: Vec<BoxError> = vec![
        at_once(mediator.send(&never, Fails::Io)).unwrap_err().into(),
        at_once(mediator.send(&never, Fails::Invalid)).unwrap_err().into(),
        at_once(mediator.send(&stopped, Fails::Io)).unwrap_err().into(),
        at_once(mediator.send(&never, Unhandled)).unwrap_err().into(),
        at_once(weak.send(&never, Fails::Io)).unwrap_err().into(),
        at_once(exchanged.send(&never, Fails::Io)).unwrap_err().into(),
        at_once(weak.publish(&never, Heard)).unwrap_err().into(),
        at_once(deaf.publish(&never, Heard)).unwrap_err().into(),
        at_once(deaf.publish(&stopped, Heard)).unwrap_err().into(),
        Mediator::builder().requires::<Fails>().build().unwrap_err().into(),
    ];
    for error in all {
        let texts = chain(error.as_ref());
        for (place, text) in texts.iter().enumerate() {
            assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
            assert!(!text.contains("  ") && !text.ends_with('.'), "{text:?}");
            let (_, after) = text.rsplit_once("` ").unwrap_or(("", text));
            assert!(!after.starts_with(char::is_uppercase), "{text:?}");
            for below in &texts[place + 1..] {
                assert!(!text.contains(below.as_str()), "{below:?} stands twice in {texts:?}");
            }
        }
    }
}

#[test]
fn an_error_of_nobody_yet_names_no_request() {
    let error = Error::new("the account is locked");
    assert_eq!((error.to_string().as_str(), error.request()), ("a request failed", ""));
    assert!(!error.is_unhandled());
    assert_eq!(error.into_failure().to_string(), "the account is locked");
}

#[test]
fn what_has_no_failure_is_kept_as_it_is() {
    let error = at_once(mediator().send(&Token::never(), Unhandled)).unwrap_err();
    let kept = error.into_failure();
    let kept = kept.downcast_ref::<Error>().unwrap();
    assert!(kept.is_unhandled());
    assert_eq!(kept.request(), "unhandled");
}

/// A handler that sends a request names both.
#[test]
fn what_another_request_failed_with_is_the_cause() {
    struct Outer;
    impl Request for Outer {
        type Response = ();
        fn name() -> &'static str {
            "outer"
        }
    }
    for (how, texts) in [
        (Fails::Io, ["`outer` failed", "`fails` failed", "no space"]),
        (Fails::Invalid, ["`outer` failed", "`fails` is not valid", "text: must not be empty"]),
    ] {
        let builder = Mediator::builder().behaviour(Validation).handler(fails);
        let weak = builder.weak();
        let mediator =
            builder.handler(move |stop: Token, _: Outer| weak.send(&stop, how)).build().unwrap();
        let error = at_once(mediator.send(&Token::never(), Outer)).unwrap_err();
        assert_eq!(chain(&error), texts);
        assert!(error.invalid().is_none(), "the other one is not valid");
    }
}

/// So does a behaviour that sends a request, be it one of the same kind.
#[test]
fn a_behaviour_that_fails_with_its_own_request_fails_for_that() {
    let builder = Mediator::builder();
    let weak = builder.weak();
    let mediator = builder
        .behaviour(Validation)
        .behaviour_for::<Fails>(move |call: Call| {
            let weak = weak.clone();
            async move {
                if let Some(Fails::Io) = call.request::<Fails>() {
                    weak.send(call.token(), Fails::Invalid).await?;
                }
                call.proceed().await
            }
        })
        .handler(fails)
        .build()
        .unwrap();
    let error = at_once(mediator.send(&Token::never(), Fails::Io)).unwrap_err();
    let texts = ["`fails` failed", "`fails` is not valid", "text: must not be empty"];
    assert_eq!(chain(&error), texts);
    assert!(error.invalid().is_none(), "the other one is not valid");
}

#[test]
fn what_is_not_valid_is_found_behind_other_errors() {
    #[derive(Debug)]
    struct Behind(Invalid);
    impl std::fmt::Display for Behind {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the order cannot be booked")
        }
    }
    impl std::error::Error for Behind {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let error = Error::new(Behind(Invalid::new("pieces", "must be one or more")));
    assert_eq!(error.invalid().unwrap().fields().next().unwrap().0, "pieces");
}
