//! Errors: what they print, how they are found, and that nothing repeats itself.

mod common;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use desist::{Cancelled, Cause, Reason, Source, Token, find_cancelled};

use common::{assert_same_cause, cause_of};

type BoxError = Box<dyn Error + Send + Sync>;

fn cancelled(cause: impl Into<Cause>) -> Cancelled {
    cause_of(&Token::cancelled_with(cause))
}

/// An error with another one as its source.
#[derive(Debug)]
struct Layer {
    text: &'static str,
    source: Option<BoxError>,
}

impl Layer {
    fn over(text: &'static str, source: impl Into<BoxError>) -> Self {
        Self { text, source: Some(source.into()) }
    }

    fn bottom(text: &'static str) -> Self {
        Self { text, source: None }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Error for Layer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The texts of an error and all its sources.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        texts.push(error.to_string());
        assert!(texts.len() < 100, "the chain does not end: {:?}", &texts[..5]);
        next = error.source();
    }
    texts
}

fn all_kinds() -> Vec<Cancelled> {
    let mut all = vec![
        cancelled("a message of its own"),
        cancelled(String::from("a text of its own")),
        cancelled(Reason::SiblingFailed.with(Layer::bottom("the disk is full"))),
        cancelled(Reason::SiblingFailed.with(Layer::over(
            "the index is broken",
            Layer::over("the page is broken", Layer::bottom("the sector is broken")),
        ))),
        cancelled(Cause::new(Reason::Overload).message("no slot is free")),
        cancelled(Reason::Other.with(io::Error::other("something else"))),
        cancelled(Reason::Deadline.with(io::Error::from(io::ErrorKind::TimedOut))),
        cause_of(&Source::with_timeout(Duration::ZERO).token()),
    ];
    all.extend(
        [
            Reason::Requested,
            Reason::Superseded,
            Reason::Disconnected,
            Reason::Deadline,
            Reason::SiblingFailed,
            Reason::Dropped,
            Reason::Overload,
            Reason::LeaseLost,
            Reason::Shutdown,
            Reason::Other,
        ]
        .map(cancelled),
    );
    all.push(cancelled(all[0].clone()));
    all.push(cancelled(all[3].clone()));
    all
}

fn assert_readable(text: &str) {
    assert!(!text.is_empty());
    assert!(!text.contains('\n'), "more than one line: {text:?}");
    assert!(!text.ends_with('.'), "ends with a full stop: {text:?}");
    assert_eq!(text, text.trim());
    let first = text.chars().next().expect("not empty");
    assert!(!first.is_uppercase(), "begins with a capital: {text:?}");
}

#[test]
fn the_text_of_a_cancellation_is_one_line_in_lower_case() {
    for error in all_kinds() {
        assert_readable(&error.to_string());
        assert!(
            error.to_string().contains(error.reason().as_str())
                || error.to_string().contains(&error.reason().to_string()),
            "it says why: {error}"
        );
    }
}

#[test]
fn the_text_of_a_reason_is_one_line_in_lower_case() {
    for error in all_kinds() {
        assert_readable(&error.reason().to_string());
        assert_readable(error.reason().as_str());
    }
}

#[test]
fn no_text_repeats_itself_down_the_chain() {
    for error in all_kinds() {
        for error in [
            Box::new(error.clone()) as BoxError,
            Box::new(io::Error::from(error.clone())) as BoxError,
            Box::new(Layer::over("the request has failed", error)) as BoxError,
        ] {
            let texts = chain(error.as_ref());
            for (index, text) in texts.iter().enumerate() {
                for below in &texts[index + 1..] {
                    assert!(!text.contains(below.as_str()), "{below:?} stands twice in {texts:?}");
                }
            }
        }
    }
}

/// A cancellation is told by one line or by its chain, but by both it is told completely.
#[test]
fn the_whole_chain_tells_the_message_exactly_once() {
    let told = |error: &(dyn Error + 'static)| {
        let all = chain(error).join(": ");
        all.matches("no slot is free").count()
    };
    let error = cancelled(Cause::new(Reason::Overload).message("no slot is free"));
    assert_eq!(told(&error), 1);
    assert_eq!(told(&io::Error::from(error.clone())), 1);
    assert_eq!(told(&Layer::over("outer", error)), 1);
    let error = cancelled(Reason::Other.with(Layer::bottom("no slot is free")));
    assert_eq!(told(&error), 1);
    assert_eq!(told(&Layer::over("outer", io::Error::from(error))), 1);
}

#[test]
fn the_detail_with_its_own_sources_can_be_reached() {
    let error = cancelled(
        Reason::SiblingFailed
            .with(Layer::over("the index is broken", Layer::bottom("the sector is broken"))),
    );
    let detail = error.detail().expect("it has one");
    assert_eq!(detail.to_string(), "the index is broken");
    let below = detail.source().expect("it has a source");
    assert_eq!(below.to_string(), "the sector is broken");
}

#[test]
fn as_an_io_error_it_is_timed_out_for_a_deadline_and_else_other() {
    for error in all_kinds() {
        let expected = if error.reason() == Reason::Deadline {
            io::ErrorKind::TimedOut
        } else {
            io::ErrorKind::Other
        };
        let reason = error.reason();
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!(error.kind(), expected);
        assert_ne!(error.kind(), io::ErrorKind::Interrupted, "std would try again");
        assert_eq!(error.to_string(), text);
        assert_eq!(find_cancelled(&error).map(Cancelled::reason), Some(reason));
    }
}

#[test]
fn an_io_error_comes_by_the_question_mark() {
    fn read(token: &Token) -> io::Result<()> {
        token.check()?;
        Ok(())
    }

    assert!(read(&Token::never()).is_ok());
    let error = read(&Token::cancelled_with(Reason::Deadline)).expect_err("cancelled");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn find_cancelled_finds_it_however_it_is_wrapped() {
    let error = cancelled(Cause::new(Reason::LeaseLost).message("gone"));
    let io = |error: Cancelled| io::Error::from(error);
    let shared: Arc<dyn Error + Send + Sync> = Arc::new(error.clone());
    let boxed: BoxError = Box::new(error.clone());
    let wrapped: Vec<(&str, BoxError)> = vec![
        ("direct", Box::new(error.clone())),
        ("a source", Layer::over("outer", error.clone()).into()),
        ("two sources", Layer::over("outer", Layer::over("inner", error.clone())).into()),
        ("io", io(error.clone()).into()),
        ("io in io", io::Error::other(io(error.clone())).into()),
        ("io in io in io", io::Error::other(io::Error::other(io(error.clone()))).into()),
        ("a layer in io", io::Error::other(Layer::over("outer", error.clone())).into()),
        ("io in a layer", Layer::over("outer", io(error.clone())).into()),
        (
            "io in a layer in io in a layer",
            Layer::over("a", io::Error::other(Layer::over("b", io(error.clone())))).into(),
        ),
        ("box", Box::new(Box::new(error.clone()))),
        ("arc", Box::new(Arc::new(error.clone()))),
        ("box of io", Box::new(Box::new(io(error.clone())))),
        ("arc of io", Box::new(Arc::new(io(error.clone())))),
        ("arc of dyn", Box::new(Shared(Arc::clone(&shared)))),
        ("a box in io", io::Error::other(Box::new(error.clone())).into()),
        ("an arc in io", io::Error::other(Arc::new(error.clone())).into()),
        ("a box of dyn in io", io::Error::other(boxed).into()),
        ("an arc of io in io", io::Error::other(Arc::new(io(error.clone()))).into()),
        ("an arc as a source", Layer::over("outer", Arc::new(error.clone())).into()),
        ("an arc of io as a source", Layer::over("outer", Arc::new(io(error.clone()))).into()),
        (
            "an arc of a layer",
            Layer::over("outer", Arc::new(Layer::over("inner", io(error.clone())))).into(),
        ),
    ];
    for (name, wrapped) in &wrapped {
        let found = find_cancelled(wrapped.as_ref()).unwrap_or_else(|| panic!("{name}: not found"));
        assert_same_cause(found, &error);
    }
}

/// Hands a shared error on as its source, as `anyhow`-like crates do.
#[derive(Debug)]
struct Shared(Arc<dyn Error + Send + Sync>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shared")
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn find_cancelled_sees_through_a_box_of_dyn_as_a_source() {
    #[derive(Debug)]
    struct Holding(BoxError);

    impl fmt::Display for Holding {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("holding")
        }
    }

    impl Error for Holding {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self.0.as_ref())
        }
    }

    let error = cancelled("gone");
    let holding = Holding(Box::new(Arc::new(io::Error::from(error.clone()))));
    assert_same_cause(find_cancelled(&holding).expect("found"), &error);
}

#[test]
fn find_cancelled_finds_the_outermost_of_a_nested_one() {
    let inner = cancelled(Reason::Deadline);
    let outer = cancelled(inner.clone());
    let found = find_cancelled(&outer).expect("found");
    assert_same_cause(found, &outer);
    let wrapped = Layer::over("request", io::Error::from(outer.clone()));
    assert_same_cause(find_cancelled(&wrapped).expect("found"), &outer);
}

#[test]
fn find_cancelled_finds_nothing_in_other_errors() {
    let others: Vec<BoxError> = vec![
        "a text".into(),
        Layer::bottom("the disk is full").into(),
        Layer::over("outer", Layer::over("inner", Layer::bottom("core"))).into(),
        io::Error::from(io::ErrorKind::TimedOut).into(),
        io::Error::from_raw_os_error(4).into(),
        io::Error::other("text").into(),
        io::Error::other(io::Error::other(Layer::bottom("core"))).into(),
        Box::new(Arc::new(io::Error::other("text"))),
        Box::new(Box::new(Layer::bottom("core"))),
        Box::new(fmt::Error),
    ];
    for other in &others {
        assert!(find_cancelled(other.as_ref()).is_none(), "{other}");
    }
}

#[test]
fn find_cancelled_ends_on_an_error_that_is_its_own_source() {
    #[derive(Debug)]
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("endless")
        }
    }

    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    assert!(common::no_deadlock(|| find_cancelled(&Endless).is_none()));
    let wrapped = io::Error::other(Endless);
    assert!(common::no_deadlock(move || find_cancelled(&wrapped).is_none()));
}

#[test]
fn find_cancelled_walks_a_long_chain_without_recursion() {
    let found = common::on_small_stack(|| {
        let mut error = Layer::over("bottom", cancelled(Reason::Overload));
        for _ in 0..500 {
            error = Layer::over("layer", error);
        }
        find_cancelled(&error).map(Cancelled::reason)
    });
    assert_eq!(found, Some(Reason::Overload));
}

mod debug {
    use std::time::Instant;

    use desist::{Clock, FutureExt, TimeSource};

    use super::*;

    fn assert_one_line(name: &str, text: &str) {
        assert!(!text.is_empty(), "{name}");
        assert!(!text.contains('\n'), "{name}: {text:?}");
        assert!(text.len() < 1_000, "{name}: {text}");
    }

    #[test]
    fn every_public_type_prints_one_line() {
        let source = Source::with_timeout(Duration::from_secs(3_600));
        let token = source.token();
        let ready = || std::future::ready(());
        let texts = [
            ("source", format!("{source:?}")),
            ("token", format!("{token:?}")),
            ("never", format!("{:?}", Token::never())),
            ("child", format!("{:?}", token.child())),
            ("guard", format!("{:?}", token.child().into_guard())),
            ("clock", format!("{:?}", Clock::system())),
            ("cause", format!("{:?}", Cause::new(Reason::Other).message("x"))),
            ("reason", format!("{:?}", Reason::Other)),
            ("registration", format!("{:?}", token.on_cancel(|_| ()))),
            ("unregistered", format!("{:?}", token.on_cancel(|_| ()).unregistered())),
            ("cancelled", format!("{:?}", token.cancelled())),
            ("owned", format!("{:?}", token.clone().cancelled_owned())),
            ("run", format!("{:?}", token.run(ready()))),
            ("run_owned", format!("{:?}", token.clone().run_owned(ready()))),
            ("or_cancelled", format!("{:?}", ready().or_cancelled(&token))),
            ("error", format!("{:?}", cancelled("x"))),
        ];
        for (name, text) in &texts {
            assert_one_line(name, text);
        }
    }

    #[test]
    fn of_a_clock_tells_whether_it_is_the_systems() {
        struct Still(Instant);
        impl TimeSource for Still {
            fn now(&self) -> Instant {
                self.0
            }

            fn arm(&self, _next: Option<Instant>) {}
        }
        let own = format!("{:?}", Clock::new(Still(Instant::now())));
        let system = format!("{:?}", Clock::system());
        assert!(system.contains("system") && !own.contains("system"), "{own}, {system}");
    }

    #[test]
    fn tells_live_from_cancelled() {
        let source = Source::new();
        let (token, live) = (source.token(), format!("{:?}", source.token()));
        source.cancel_with(Reason::Overload);
        let text = format!("{token:?}");
        assert_ne!(live, text);
        assert!(text.to_lowercase().contains("overload"), "{text}");
    }

    #[test]
    fn of_a_cancellation_tells_the_reason_and_the_detail() {
        let text = format!("{:?}", cancelled(Cause::new(Reason::LeaseLost).message("gone")));
        assert!(text.contains("LeaseLost"), "{text}");
        assert!(text.contains("gone"), "{text}");
    }

    #[test]
    fn of_a_cause_tells_the_reason_and_the_detail() {
        for cause in [
            Cause::new(Reason::LeaseLost).message("gone"),
            Cause::new(Reason::LeaseLost).detail(io::Error::other("gone")),
            Cause::from(cancelled(Cause::new(Reason::LeaseLost).message("gone"))),
        ] {
            let text = format!("{cause:?}");
            assert!(text.contains("LeaseLost"), "{text}");
            assert!(text.contains("gone"), "{text}");
        }
    }

    #[cfg(feature = "testing")]
    #[test]
    fn of_a_clock_moved_by_hand_is_one_line() {
        let clock = desist::testing::ManualClock::new();
        assert_one_line("manual clock", &format!("{clock:?}"));
        let source = Source::with_clock(clock.clock());
        source.cancel_after(Duration::from_secs(1));
        assert_one_line("source on it", &format!("{source:?}"));
        assert_one_line("its clock", &format!("{:?}", clock.clock()));
    }
}

/// Whichever way it came: up the tree, over a link, with a clone.
#[test]
fn a_cancellation_is_equal_to_itself_wherever_it_is_seen_and_to_no_other() {
    let (root, other) = (Source::new(), Source::new());
    let tokens = [
        root.token(),
        root.child().token(),
        root.child().child().token(),
        Source::linked([&other.token(), &root.token()]).token(),
        Token::any([&root.token(), &other.token()]),
    ];
    root.cancel();
    let born = root.child().token();
    let first = root.token().cancellation().unwrap();
    for token in tokens.iter().chain([&born]) {
        assert_eq!(token.cancellation().as_ref(), Some(&first));
        assert_eq!(token.check().unwrap_err().clone(), first);
    }
    other.cancel();
    assert_ne!(other.token().cancellation().unwrap(), first);
    // Passed on as a cause it is another, for it was asked for at another place.
    let on = Token::cancelled_with(first.clone());
    assert_ne!(on.cancellation().unwrap(), first);
}
