//! What is asked wrongly, and what is asked strangely.

use std::time::Duration;

use desist_ops::{
    BoxError, CancelAnswer, CancelRequest, Context, Error, Filter, Kind, Operations, State,
};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    a_kind_that_is_not_there_is_named_with_those_that_are,
    an_input_that_its_kind_does_not_take_is_refused,
    what_is_too_large_is_refused,
    what_cannot_be_found_by_is_refused,
    zero_bytes_are_kept_as_something_else_where_nothing_is_found_by_them,
    any_text_comes_back_as_it_was,
    long_texts_are_cut,
    the_greatest_numbers_do_no_harm,
    the_longest_times_do_no_harm,
    a_trace_is_kept_if_it_is_one,
    two_kinds_cannot_have_one_name,
);

/// What people write to see what happens.
const HOSTILE: [&str; 9] = [
    "'; DROP TABLE desist_ops; --",
    "\" OR \"\"=\"",
    "100%_of\\it",
    "$1 ?1 {now} {any 1} #",
    "🦀 crabs, 𝒽ostile",
    "e\u{301} \u{202e}right to left",
    "tab\tline\nreturn\r",
    "\u{1}\u{7f}\u{ffff}",
    "[\"json\", null, {}]",
];

async fn all<W: World>(world: &W) -> Operations<W::Store> {
    let echo = Kind::new("echo", |ctx: Context<_>, text: String| async move {
        ctx.progress(1, None, text.as_str());
        Ok::<_, BoxError>(text)
    });
    process(world, [echo, stays("long").concurrency(0)]).await
}

async fn a_kind_that_is_not_there_is_named_with_those_that_are<W: World>(world: &W) {
    let error = all(world).await.start("exprot", &()).await.unwrap_err();
    assert!(error.is_unknown_kind() && !error.is_database(), "{error:?}");
    let said = error.to_string();
    assert!(["`exprot`", "`echo`", "`long`"].iter().all(|it| said.contains(it)), "{said}");
    let none = process(world, []).await;
    let said = none.start("no\0ne", "").await.unwrap_err().to_string();
    assert!(said.ends_with("there is none"), "{said}");
}

async fn an_input_that_its_kind_does_not_take_is_refused<W: World>(world: &W) {
    let all = all(world).await;
    for json in ["7", "[]", "null", "not json", "", "\"a\" \"b\"", "\"\0\"", "{\"a\":1}"] {
        let error = all.start_json("echo", json).await.unwrap_err();
        assert!(error.is_bad_input() && !error.is_too_large(), "{json}: {error:?}");
        assert!(error.to_string().contains("`echo`"), "{error}");
    }
    // It is no JSON at all.
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(all.start("echo", &map).await.unwrap_err().is_bad_input());
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 0);
}

fn is_too_large(error: &Error, number: &str) {
    assert!(error.is_too_large() && error.is_bad_input(), "{error:?}");
    assert!(error.to_string().contains(number), "{error}");
}

async fn what_is_too_large_is_refused<W: World>(world: &W) {
    let echo = Kind::new("echo", |_: Context<_>, _: String| async { Ok::<_, BoxError>(()) });
    let all = builder(world, [echo]).await.max_input(1000).open().await.unwrap();
    assert!(all.start("echo", &"x".repeat(998)).await.is_ok());
    is_too_large(&all.start("echo", &"x".repeat(999)).await.unwrap_err(), "1001 bytes");
    // Of four bytes each.
    let text = "🦀".repeat(125);
    assert!(all.start("echo", "").tag(text.as_str()).key(text.as_str()).await.is_ok());
    let longer = format!("{text}x");
    is_too_large(&all.start("echo", "").tag(longer.as_str()).await.unwrap_err(), "501 bytes");
    is_too_large(&all.start("echo", "").key(longer.as_str()).await.unwrap_err(), "501 bytes");
    let tagged = |most| (0..most).fold(all.start("echo", ""), |it, n| it.tag(format!("{n}")));
    assert!(tagged(50).await.is_ok());
    is_too_large(&tagged(51).await.unwrap_err(), "51 tags");
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 3);
}

async fn what_cannot_be_found_by_is_refused<W: World>(world: &W) {
    let all = all(world).await;
    for (text, says) in [("", "is empty"), ("a\0b", "zero byte"), ("\0", "zero byte")] {
        let tag = all.start("long", &()).tag(text).await.unwrap_err();
        assert!(tag.is_bad_input() && tag.to_string().contains(says), "{tag}");
        let key = all.start("long", &()).key(text).await.unwrap_err();
        assert!(key.is_bad_input() && key.to_string().contains(says), "{key}");
        let kind = builder(world, [stays(text)]).await.open().await.unwrap_err();
        assert!(kind.is_bad_input() && kind.to_string().contains(says), "{kind}");
    }
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 0);
    // The same tag twice is once.
    let id = all.start("long", &()).tag("a").tag("a").await.unwrap().id();
    assert_eq!(all.list(&Filter::new().tag("a")).await.unwrap()[0].id, id);
}

async fn zero_bytes_are_kept_as_something_else_where_nothing_is_found_by_them<W: World>(world: &W) {
    let zeros = builder(world, [stays("long")]).await.label("la\0bel").open().await.unwrap();
    let all = all(world).await;
    let run = runs(&all);
    let id = all.start("echo", "a\0b").actor("a\0da").traceparent("\0").await.unwrap().id();
    let done = ended(&all, id).await;
    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"a\\u0000b\"")));
    assert_eq!(done.actor.as_deref(), Some("a\u{fffd}da"));
    assert_eq!(done.progress.unwrap().message, "a\u{fffd}b");
    run.end().await;

    let run = runs(&zeros);
    let id = running(&zeros, "long").await;
    let request = CancelRequest::new().actor("b\0ob").message("no\0w");
    assert_eq!(zeros.cancel(id, request).await.unwrap(), CancelAnswer::Requested);
    let done = ended(&zeros, id).await;
    let asked = done.cancel.unwrap();
    assert_eq!((asked.by(), asked.told()), (Some("b\u{fffd}ob"), Some("no\u{fffd}w")));
    assert_eq!(done.ran_on.as_deref(), Some("la\u{fffd}bel"));
    run.end().await;

    // What is asked for finds nothing, or what was kept.
    let filters = [
        (Filter::new().kind("lo\0ng"), 0),
        (Filter::new().tag("\0"), 0),
        (Filter::new().actor("a\0da"), 1),
        (Filter::new().cancelled_by("b\0ob"), 1),
    ];
    for (filter, count) in filters {
        assert_eq!(all.count(&filter).await.unwrap(), count, "{filter:?}");
        assert_eq!(all.list(&filter).await.unwrap().len(), count as usize);
    }
    assert!(all.find("lo\0ng", "\0").await.unwrap().is_none());
    assert!(all.cancel_tagged("a\0", CancelRequest::new()).await.unwrap().is_empty());
}

async fn any_text_comes_back_as_it_was<W: World>(world: &W) {
    let all = all(world).await;
    let run = runs(&all);
    for text in HOSTILE {
        let start = all.start("echo", text).tag(text).key(text).actor(text);
        let done = ended(&all, start.await.unwrap().id()).await;
        assert_eq!(done.state, SUCCEEDED, "{done:?}");
        let output: String = serde_json::from_str(done.output.as_deref().unwrap()).unwrap();
        assert_eq!(output, text);
        assert_eq!((done.tags, done.key.as_deref()), (vec![text.to_owned()], Some(text)));
        assert_eq!(
            (done.actor.as_deref(), done.progress.unwrap().message.as_str()),
            (Some(text), text)
        );
        let filter = Filter::new().tag(text).actor(text);
        assert_eq!(all.list(&filter).await.unwrap()[0].id, done.id);
        assert_eq!(all.find("echo", text).await.unwrap().unwrap().id, done.id);

        let id = all.start("long", &()).tag(text).await.unwrap().id();
        let request = CancelRequest::new().actor(text).message(text);
        let answers = all.cancel_tagged(text, request).await.unwrap();
        assert_eq!((answers.len(), answers.before_start()), (1, 1));
        let asked = now(&all, id).await.cancel.unwrap();
        assert_eq!((asked.by(), asked.told()), (Some(text), Some(text)));
        assert_eq!(all.count(&Filter::new().cancelled_by(text)).await.unwrap(), 1);
    }
    run.end().await;
}

async fn long_texts_are_cut<W: World>(world: &W) {
    let fails = Kind::new("fails", |_: Context<_>, _: ()| async {
        Err::<(), BoxError>("é".repeat(20_000).into())
    });
    let all = process(world, [fails, stays("long").concurrency(0)]).await;
    let run = runs(&all);
    let text = "é".repeat(5000);
    let id = all.start("fails", &()).actor(text.as_str()).await.unwrap().id();
    let done = ended(&all, id).await;
    assert_eq!(done.actor.unwrap(), format!("{}…", "é".repeat(200)));
    assert_eq!(done.error.unwrap(), format!("{}…", "é".repeat(8000)));
    let id = begun(&all, "long").await;
    let request = CancelRequest::new().actor(text.as_str()).message(text.as_str());
    all.cancel(id, request).await.unwrap();
    let asked = now(&all, id).await.cancel.unwrap();
    assert_eq!(asked.told().unwrap(), format!("{}…", "é".repeat(1000)));
    run.end().await;
}

async fn the_greatest_numbers_do_no_harm<W: World>(world: &W) {
    let kind = Kind::new("much", |ctx: Context<_>, _: ()| async move {
        ctx.progress(u64::MAX, u64::MAX, "all of it");
        Ok::<_, BoxError>(u64::MAX)
    });
    let all = process(world, [kind.attempts(u32::MAX).concurrency(usize::MAX)]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "much").await).await;

    assert_eq!((done.state, done.attempts), (SUCCEEDED, u32::MAX));
    assert_eq!(done.output.unwrap(), u64::MAX.to_string());
    let progress = done.progress.unwrap();
    // As many as a database counts.
    let most = i64::MAX.unsigned_abs();
    assert_eq!((progress.done, progress.total), (most, Some(most)));
    let far = Filter::new().before(i64::MAX).most(u32::MAX);
    assert_eq!(all.list(&far).await.unwrap().len(), 1);
    assert!(all.list(&Filter::new().before(i64::MIN)).await.unwrap().is_empty());
    assert!(all.events(done.id, i64::MAX).await.unwrap().is_empty());
    run.end().await;
}

async fn the_longest_times_do_no_harm<W: World>(world: &W) {
    const EVER: Duration = Duration::MAX;
    let kind = |name| stays(name).timeout(EVER).grace(EVER).backoff(EVER, EVER);
    let all = builder(world, [kind("runs"), kind("later")]).await;
    let all = all.lease(EVER).drain_for(EVER).keep_finished(EVER).look_every(EVER);
    let all = all.open().await.unwrap();
    let later = all.start("later", &()).delay(EVER).await.unwrap().id();
    let run = runs(&all);
    let id = running(&all, "runs").await;
    all.cancel(id, by("ada")).await.unwrap();
    assert_eq!(ended(&all, id).await.state, CANCELLED);
    assert!(all.overdue().await.unwrap().is_empty());
    assert_eq!(now(&all, later).await.state, State::Waiting);
    let id = running(&all, "runs").await;
    run.stop.drain();
    assert!(all.cancel(id, by("ada")).await.unwrap().is_requested());
    assert_eq!(run.ended().await.cancelled(), 2);
}

async fn a_trace_is_kept_if_it_is_one<W: World>(world: &W) {
    let all = all(world).await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let id = all.start("long", &()).traceparent(good).await.unwrap().id();
    assert_eq!(now(&all, id).await.traceparent.as_deref(), Some(good));
    let bad = [
        "",
        "00",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é",
    ];
    for trace in bad {
        let id = all.start("long", &()).traceparent(trace).await.unwrap().id();
        assert_eq!(now(&all, id).await.traceparent, None, "{trace}");
    }
}

async fn two_kinds_cannot_have_one_name<W: World>(world: &W) {
    let error = builder(world, [stays("one"), stays("one")]).await.open().await.unwrap_err();
    assert!(error.to_string().contains("two kinds of operations named `one`"), "{error}");
}
