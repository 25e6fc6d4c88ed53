//! Between those who ask and those who answer: one handler for each request, behaviours
//! around it, and a token that nobody loses on the way. Every line that this prints was
//! asserted first.
//!
//! `cargo run -p desist-examples --bin 10-mediator`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::{Cancelled, Reason, Source, Token};
use desist_mediator::{
    Behaviour, BoxError, Call, Invalid, Mediator, Notification, Request, Timeout, Validation,
};
use desist_tokio::sleep;
use tower::limit::ConcurrencyLimitLayer;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    a_missing_handler();
    order().await;
    who_hears_what().await;
    a_narrower_token().await;
    validation().await;
    a_limit().await;
    a_nested_request().await;
    many().await;
}

fn proved(what: &str, how: impl Display) {
    println!("{what:<22}{how}");
}

/// What is said, in the order in which it happens.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().expect("nobody panics").push(what.into());
    }

    fn all(&self) -> String {
        self.0.lock().expect("nobody panics").join(", ")
    }
}

struct Sail {
    boats: u32,
}

impl Request for Sail {
    type Response = u32;

    fn name() -> &'static str {
        "sail"
    }

    fn validate(&self) -> Result<(), Invalid> {
        Invalid::unless(self.boats > 0, "boats", "must be one or more")
    }
}

async fn sail(stop: Token, Sail { boats }: Sail) -> Result<u32, Cancelled> {
    for _ in 0..boats {
        sleep(Duration::from_millis(5), &stop).await?;
    }
    Ok(boats)
}

struct Row;

impl Request for Row {
    type Response = ();

    fn name() -> &'static str {
        "row"
    }
}

/// It is seen when the program starts, and not by the first client.
fn a_missing_handler() {
    let error = Mediator::builder().handler(sail).requires::<Row>().build().unwrap_err();
    assert_eq!(error.requests().collect::<Vec<_>>(), ["row"]);
    let said = error.to_string();
    assert!(said.starts_with("`row` has no handler, and is required at "), "{said}");
    proved("a missing handler", said);
}

/// Says when it begins and when it is done.
fn says(said: &Said, name: &'static str) -> impl Behaviour + use<> {
    let said = said.clone();
    move |call: Call| {
        let said = said.clone();
        async move {
            said.say(format!("+ {name}"));
            let answer = call.proceed().await;
            said.say(format!("- {name}"));
            answer
        }
    }
}

/// The first is the outermost, be it around all requests or one kind.
async fn order() {
    let said = Said::default();
    let rows = said.clone();
    let mediator = Mediator::builder()
        .behaviour(says(&said, "all"))
        .behaviour_for::<Row>(says(&said, "row"))
        .behaviour(says(&said, "all again"))
        .handler(move |stop: Token, Row| {
            rows.say("rows");
            async move { stop.check() }
        })
        .handler(sail)
        .build()
        .expect("all have handlers");
    mediator.send(&Token::never(), Row).await.expect("it is answered");
    let row = said.all();
    assert_eq!(row, "+ all, + row, + all again, rows, - all again, - row, - all");
    mediator.send(&Token::never(), Sail { boats: 1 }).await.expect("it is answered");
    assert_eq!(said.all(), format!("{row}, + all, + all again, - all again, - all"));
    proved("order", row);
}

/// One client goes away in the middle, another has no such patience; neither is a failure.
async fn who_hears_what() {
    let heard = Said::default();
    let told = heard.clone();
    let mediator = Mediator::builder()
        .behaviour(move |call: Call| {
            let told = told.clone();
            async move {
                let outer = call.token().clone();
                let answer = call.proceed().await;
                let error = answer.as_ref().expect_err("neither gets there");
                let inner = error.cancelled().expect("it is no failure").reason();
                told.say(format!("{inner} within, {:?} around", outer.reason()));
                answer
            }
        })
        .behaviour(Timeout::new(Duration::from_millis(30)))
        .handler(sail)
        .build()
        .expect("all have handlers");
    let (client, patient) = (Source::new(), Source::new());
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        client.cancel_with(Reason::Disconnected);
    };
    let (answer, ()) = tokio::join!(mediator.send(&client.token(), Sail { boats: 999 }), leaves);
    let error = answer.expect_err("it is not there yet");
    assert_eq!(error.to_string(), "`sail` was cancelled");
    // The very request to stop that the client's leaving was.
    assert_eq!(error.cancelled(), client.token().cancellation().as_ref());

    // Of a time that is over only those hear who are within it.
    let error = mediator.send(&patient.token(), Sail { boats: 999 }).await.unwrap_err();
    assert_eq!(error.cancelled().map(Cancelled::reason), Some(Reason::Deadline));
    let heard = heard.all();
    let first = "disconnected within, Some(Disconnected) around";
    assert_eq!(heard, format!("{first}, deadline within, None around"));
    proved("who hears what", heard);
}

/// Whatever a behaviour does with the token, it is not wider than it was before; but by a
/// shield, which is said out loud and has an end.
async fn a_narrower_token() {
    let of = |shield: Option<Duration>| {
        Mediator::builder()
            .behaviour(Timeout::new(Duration::from_millis(20)))
            .behaviour(move |mut call: Call| {
                call.narrow_to(&Token::never());
                call.narrow().cancel_after(Duration::from_secs(3600));
                if let Some(bound) = shield {
                    call.shield(bound);
                }
                call.proceed()
            })
            .handler(sail)
            .build()
            .expect("all have handlers")
    };
    let error = of(None).send(&Token::never(), Sail { boats: 999 }).await.unwrap_err();
    assert_eq!(error.cancelled().map(Cancelled::reason), Some(Reason::Deadline));
    // The time is over long before the last boat is out.
    let shielded = of(Some(Duration::from_secs(1)));
    assert_eq!(shielded.send(&Token::never(), Sail { boats: 10 }).await.ok(), Some(10));
    proved("a narrower token", "over after 20 ms, whoever asks for an hour; a shield holds longer");
}

/// What is not valid comes to nobody.
async fn validation() {
    let mediator =
        Mediator::builder().behaviour(Validation).handler(sail).build().expect("all have handlers");
    let error = mediator.send(&Token::never(), Sail { boats: 0 }).await.unwrap_err();
    assert_eq!(error.to_string(), "`sail` is not valid");
    let invalid = error.invalid().expect("that is why").to_string();
    assert_eq!(invalid, "boats: must be one or more");
    proved("validation", format_args!("{error}: {invalid}"));
}

/// One service of tower is around all kinds. Whoever is gone before there is a place for him
/// does not wait for one.
async fn a_limit() {
    let said = Said::default();
    let mediator = Mediator::builder()
        .layer(ConcurrencyLimitLayer::new(1))
        .behaviour(says(&said, "one"))
        .handler(sail)
        .handler(|stop: Token, Row| async move { sleep(Duration::from_millis(20), &stop).await })
        .build()
        .expect("all have handlers");
    let client = Source::new();
    let (row, sail, late, _) = tokio::join!(
        mediator.send(&Token::never(), Row),
        mediator.send(&Token::never(), Sail { boats: 4 }),
        mediator.send(&client.token(), Row),
        async { client.cancel() },
    );
    assert!(row.is_ok() && sail.is_ok());
    assert!(late.unwrap_err().cancelled().is_some());
    assert_eq!(said.all(), "+ one, - one, + one, - one");
    proved("a limit", format_args!("{}, of two kinds; a third did not wait", said.all()));
}

/// A handler that asks in its turn hands on its token, and why it is stopped comes back.
async fn a_nested_request() {
    struct Race;
    impl Request for Race {
        type Response = u32;
        fn name() -> &'static str {
            "race"
        }
    }
    let builder = Mediator::builder();
    let weak = builder.weak();
    let mediator = builder
        .behaviour_for::<Sail>(Timeout::new(Duration::from_millis(20)))
        .handler(move |stop: Token, Race| {
            let mediator = weak.clone();
            async move {
                let first = mediator.send(&stop, Sail { boats: 1 }).await?;
                mediator.send(&stop, Sail { boats: 999 }).await.map(|second| first + second)
            }
        })
        .handler(sail)
        .requires::<Sail>()
        .build()
        .expect("all have handlers");
    let error = mediator.send(&Token::never(), Race).await.unwrap_err();
    assert_eq!(error.to_string(), "`race` was cancelled");
    let inner = error.failure().expect("the error of the inner request").to_string();
    assert_eq!(inner, "`sail` was cancelled");
    assert_eq!(error.cancelled().map(Cancelled::reason), Some(Reason::Deadline));
    proved("a nested request", format_args!("{error}, because {inner}: deadline"));
}

struct Capsized {
    boat: &'static str,
}

impl Notification for Capsized {
    fn name() -> &'static str {
        "capsized"
    }
}

/// All are told, whoever fails, until the token is cancelled.
async fn many() {
    let said = Said::default();
    let tells = |who: &'static str, works: bool| {
        let said = said.clone();
        move |_stop: Token, capsized: Arc<Capsized>| {
            said.say(format!("{who}: {}", capsized.boat));
            async move { if works { Ok(()) } else { Err(BoxError::from("the radio is dead")) } }
        }
    };
    let mediator = Mediator::builder()
        .notification_handler(tells("the harbour", true))
        .notification_handler(tells("the helicopter", false))
        .notification_handler(tells("the owner", true))
        .build()
        .expect("nobody is asked for anything");
    let error = mediator.publish(&Token::never(), Capsized { boat: "Ada" }).await.unwrap_err();
    let told = said.all();
    assert_eq!(told, "the harbour: Ada, the helicopter: Ada, the owner: Ada");
    assert_eq!(error.to_string(), "1 of the 3 handlers of `capsized` failed");
    assert_eq!(error.failures()[0].error().to_string(), "the radio is dead");

    let stopped = Token::cancelled_with(Reason::Shutdown);
    let untold = mediator.publish(&stopped, Capsized { boat: "Bob" }).await.unwrap_err();
    assert_eq!((untold.not_begun(), said.all()), (3, told));
    proved("many", format_args!("{}; {error}", said.all()));
}
