//! What a console shows of operations, on both databases.

use desist_ops::console::Console;
use desist_ops::http::Routes;
use desist_ops::{CancelRequest, OperationId, Operations, Store};
use serde_json::json;

use crate::bench::*;
use crate::desk::{Desk, hook};
use crate::world::{World, on_both};

on_both!(
    what_happens_to_an_operation_is_shown_as_it_happens,
    what_succeeds_in_spite_of_a_cancel_is_shown_so,
    what_is_above_is_shown_though_it_has_ended,
    what_ended_long_ago_is_gone,
    what_is_removed_is_gone,
    more_that_wait_than_are_shown_are_said_to_be_more,
    that_there_are_more_is_told_to_who_may_see_all_of_them,
    what_does_not_stop_is_shown_however_many_run,
    a_tree_is_shown_to_its_top_however_deep_it_is,
    of_those_that_were_stopped_the_last_thousand_are_told,
    a_database_that_does_not_answer_is_said_so_and_what_was_shown_stays,
    who_comes_while_the_database_is_away_sees_it_as_soon_as_it_is_there,
);

/// Of a process that runs nothing and is never taken for dead: what a test writes there stays.
async fn elsewhere<W: World>(world: &W) {
    world.sql("INSERT INTO desist_ops_node VALUES ('n', 'elsewhere', 1, 9000000000000000)").await;
}

/// Written by hand, with these columns beside.
async fn written<W: World>(world: &W, state: &str, columns: &str, values: &str) -> String {
    let id = OperationId::random().to_string();
    let node = if state == "running" { "'n'" } else { "NULL" };
    let sql = format!(
        "INSERT INTO desist_ops (id, kind, state, node, input, created_at, run_at{columns}) \
         VALUES ('{id}', 'written', '{state}', {node}, 'null', 1, 1{values})"
    );
    world.sql(&sql).await;
    id
}

async fn below<W: World>(world: &W, state: &str, parent: &str) -> String {
    written(world, state, ", parent", &format!(", '{parent}'")).await
}

async fn ends<W: World>(world: &W, id: &str, state: &str, at: &str) {
    let sql = format!(
        "UPDATE desist_ops SET state = '{state}', node = NULL, finished_at = {at}, \
         started_at = created_at, version = version + 1 WHERE id = '{id}'"
    );
    world.sql(&sql).await;
}

async fn empty<W: World>(world: &W) -> Operations<W::Store> {
    let all = process(world, []).await;
    elsewhere(world).await;
    all
}

/// One that shows so many that run, and wait.
async fn few<S: Store>(all: &Operations<S>, running: u32, waiting: u32) -> Desk {
    let console = |routes: Routes<S>| Console::new(routes.authorize(hook));
    Desk::with(all, |routes| console(routes).show_at_most(running, waiting)).await
}

async fn what_happens_to_an_operation_is_shown_as_it_happens<W: World>(world: &W) {
    let (steps, stops) = (Gate::default(), Gate::default());
    let gates = (steps.clone(), stops.clone());
    let kind =
        desist_ops::Kind::new("export", move |ctx: desist_ops::Context<W::Store>, (): ()| {
            let (steps, stops) = gates.clone();
            async move {
                for step in 0.. {
                    ctx.progress(step, 7, "writes");
                    if ctx.token().run(steps.pass()).await.is_err() {
                        break;
                    }
                }
                stops.pass().await;
                ctx.token().check()?;
                Ok::<_, desist_ops::BoxError>(())
            }
        });
    let all = process(world, [kind]).await;
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    assert!(reader.rows.is_empty() && reader.asked.is_empty());
    let id = all.start("export", &()).actor("ada").key("orders").tag("t").await.unwrap().id();
    let name = id.to_string();
    let row = reader.until_row(&name, |row| row["state"] == "waiting").await;
    assert_eq!(
        (&row["key"], &row["tags"], &row["actor"]),
        (&json!("orders"), &json!(["t"]), &json!("ada"))
    );
    assert_eq!(reader.states[&name], ["waiting"]);
    let run = runs(&all);
    let row = reader.until_row(&name, |row| row["progress"]["done"] == 0).await;
    assert_eq!((&row["state"], &row["progress"]["total"]), (&json!("running"), &json!(7)));
    assert!(row["ran_on"].is_string() && row["started"].is_number(), "{row}");
    steps.open(1);
    let row = reader.until_row(&name, |row| row["progress"]["done"] == 1).await;
    assert_eq!(row["progress"]["message"], "writes");
    for none in ["cancel", "heard", "stop_at", "ended", "error", "parent"] {
        assert!(row.get(none).is_none(), "{none}: {row}");
    }

    let why = CancelRequest::new().actor("bob").message("the wrong table");
    all.cancel(id, why.because(desist::Reason::Superseded)).await.unwrap();
    let row = reader.until_row(&name, |row| row.get("heard").is_some()).await;
    assert_eq!(row["state"], "running");
    let cancel = &row["cancel"];
    assert_eq!((&cancel["actor"], &cancel["message"]), (&json!("bob"), &json!("the wrong table")));
    assert_eq!((&cancel["reason"], &cancel["mode"]), (&json!("superseded"), &json!("cancel")));
    let time = |row: &serde_json::Value, name: &str| row[name].as_i64().unwrap();
    assert!(time(cancel, "at") <= time(&row, "heard"), "{row}");
    let stop_at = time(&row, "stop_at");
    reader.until(|reader| time(&reader.tick, "now") >= stop_at).await;
    assert!(reader.asked.is_empty(), "it has not stopped");
    stops.open(1);
    let row = reader.until_row(&name, |row| row["state"] == "cancelled").await;
    reader.until(|reader| reader.asked.contains_key(&name)).await;
    let asked = &reader.asked[&name];
    assert_eq!((&asked["kind"], &asked["outcome"]), (&json!("export"), &json!("cancelled")));
    assert_eq!((&asked["asked"], &asked["stopped"]), (&row["cancel"]["at"], &row["ended"]));
    assert_eq!((&asked["heard"], &asked["seen"]), (&row["heard"], &row["seen"]));
    // It is still there, so that it is seen how it went.
    reader.tick().await;
    assert!(reader.rows.contains_key(&name) && !reader.names.contains(&"gone".to_owned()));
    assert_eq!(reader.states[&name], ["waiting", "running", "cancelled"]);
    // And so it is for whoever comes then.
    let later = desk.reader("root").await;
    assert_eq!((&later.rows[&name], &later.asked), (&row, &reader.asked));
    run.end().await;
}

async fn what_succeeds_in_spite_of_a_cancel_is_shown_so<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("deaf", &gate), stays("never").concurrency(0)]).await;
    let run = runs(&all);
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    let (id, never) = (begun(&all, "deaf").await, begun(&all, "never").await);
    gate.came().await;
    reader.until_row(&never.to_string(), |row| row["state"] == "waiting").await;
    all.cancel(id, by("bob")).await.unwrap();
    all.cancel(never, by("bob")).await.unwrap();
    let name = id.to_string();
    let row = reader.until_row(&name, |row| row.get("heard").is_some()).await;
    assert_eq!(row["state"], "running");
    gate.open(1);
    reader.until_row(&name, |row| row["state"] == "succeeded").await;
    reader.until(|reader| reader.asked.contains_key(&name)).await;
    assert_eq!(reader.asked[&name]["outcome"], "succeeded");
    reader.until_row(&never.to_string(), |row| row["state"] == "cancelled").await;
    // One that never ran took no time to stop.
    assert_eq!(reader.asked.len(), 1);
    assert_eq!(desk.reader("root").await.asked.len(), 1);
    run.end().await;
}

async fn what_is_above_is_shown_though_it_has_ended<W: World>(world: &W) {
    let all = empty(world).await;
    let root = written(world, "waiting", "", "").await;
    let middle = below(world, "waiting", &root).await;
    let child = below(world, "running", &middle).await;
    let grandchild = below(world, "waiting", &child).await;
    for id in [&root, &middle] {
        ends(world, id, "succeeded", "1").await;
    }
    // Above this one is one that was removed.
    let orphan = below(world, "running", &OperationId::random().to_string()).await;
    let alone = written(world, "waiting", "", "").await;
    ends(world, &alone, "failed", "1").await;

    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    let mut expected = [&root, &middle, &child, &grandchild, &orphan];
    expected.sort_unstable();
    assert_eq!(reader.rows.keys().collect::<Vec<_>>(), expected);
    assert_eq!(
        (&reader.rows[&middle]["parent"], &reader.rows[&middle]["state"]),
        (&json!(root), &json!("succeeded"))
    );
    assert_eq!((&reader.tick["running"], &reader.tick["waiting"]), (&json!(2), &json!(1)));
    // What is above stays as long as anything is below.
    ends(world, &grandchild, "cancelled", "1").await;
    reader.until(|reader| !reader.rows.contains_key(&grandchild)).await;
    assert_eq!(reader.rows.len(), 4);
    // One more comes below what has ended.
    let late = below(world, "waiting", &middle).await;
    reader.until_row(&late, |_| true).await;
    ends(world, &child, "failed", "1").await;
    reader.until(|reader| !reader.rows.contains_key(&child)).await;
    assert!(reader.rows.contains_key(&root) && reader.rows.contains_key(&middle));
    ends(world, &late, "failed", "1").await;
    reader.until(|reader| reader.rows.len() == 1).await;
    assert!(reader.rows.contains_key(&orphan));
    // And below it, once more.
    let again = below(world, "waiting", &middle).await;
    reader.until(|reader| reader.rows.contains_key(&again)).await;
    assert!(reader.rows.contains_key(&root) && reader.rows.contains_key(&middle));
}

async fn what_ended_long_ago_is_gone<W: World>(world: &W) {
    let all = empty(world).await;
    let (old, new) =
        (written(world, "running", "", "").await, written(world, "running", "", "").await);
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    let now = reader.tick["now"].as_i64().unwrap() * 1000;
    // As if this had not been seen for a while: one ended two minutes ago.
    ends(world, &old, "succeeded", &(now - 120_000_000).to_string()).await;
    ends(world, &new, "succeeded", &(now - 20_000_000).to_string()).await;
    reader.until_row(&new, |row| row["state"] == "succeeded").await;
    reader.until(|reader| !reader.rows.contains_key(&old)).await;
    assert_eq!(reader.states[&old], ["running"]);
    reader.tick().await;
    assert_eq!(reader.rows.keys().collect::<Vec<_>>(), [&new]);
    // Who comes then is not told what was.
    let later = desk.reader("root").await;
    assert_eq!(later.rows.keys().collect::<Vec<_>>(), [&new]);
    assert!(!later.names.contains(&"gone".to_owned()));
}

async fn what_is_removed_is_gone<W: World>(world: &W) {
    let all = empty(world).await;
    let ids = [written(world, "running", "", "").await, written(world, "waiting", "", "").await];
    let above = written(world, "waiting", "", "").await;
    let child = below(world, "waiting", &above).await;
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    for id in ids.iter().chain([&above]) {
        world.sql(&format!("DELETE FROM desist_ops WHERE id = '{id}'")).await;
    }
    reader.until(|reader| reader.rows.keys().eq([&child])).await;
    reader.tick().await;
    assert_eq!((&reader.tick["running"], &reader.tick["waiting"]), (&json!(0), &json!(1)));
}

async fn more_that_wait_than_are_shown_are_said_to_be_more<W: World>(world: &W) {
    let all = empty(world).await;
    waiting(world, "a", 1100).await;
    let runs = written(world, "running", "", "").await;
    let desk = few(&all, 10, 1000).await;
    let mut reader = desk.reader("root").await;
    assert_eq!(reader.rows.len(), 1001);
    assert_eq!(reader.names.iter().filter(|name| *name == "rows").count(), 3);
    assert!(reader.rows.contains_key(&runs));
    let more = |reader: &crate::reader::Reader| reader.tick["waiting_more"] == true;
    assert!(more(&reader) && reader.tick["running_more"] == false);
    assert_eq!(reader.tick["waiting"], 1000);
    // They are the oldest; the others come as there is room.
    let oldest = "SELECT id FROM desist_ops ORDER BY seq LIMIT 100";
    let last =
        world.sql("SELECT id FROM desist_ops WHERE kind = 'a' ORDER BY seq DESC LIMIT 1").await;
    let last = &last[0][0];
    assert!(!reader.rows.contains_key(last));
    world.sql(&format!("DELETE FROM desist_ops WHERE id IN ({oldest})")).await;
    reader.until(|reader| !more(reader)).await;
    assert!(reader.rows.contains_key(last));
    assert_eq!(reader.tick["waiting"], 1000);
    world.sql("DELETE FROM desist_ops WHERE state = 'waiting'").await;
    reader.until(|reader| reader.rows.keys().eq([&runs]) && reader.tick["waiting"] == 0).await;
}

async fn that_there_are_more_is_told_to_who_may_see_all_of_them<W: World>(world: &W) {
    let all = empty(world).await;
    waiting(world, "a", 51).await;
    let desk = few(&all, 20, 50).await;
    assert_eq!(desk.reader("guest").await.tick["waiting_more"], true);
    let bob = desk.reader("bob").await;
    assert_eq!((&bob.tick["waiting_more"], &bob.tick["waiting"]), (&json!(false), &json!(0)));
}

async fn what_does_not_stop_is_shown_however_many_run<W: World>(world: &W) {
    let all = empty(world).await;
    waiting(world, "a", 51).await;
    world.sql("UPDATE desist_ops SET state = 'running', node = 'n'").await;
    let late = written(
        world,
        "running",
        ", cancel_mode, cancel_reason, cancel_at, heard_at, stop_at",
        ", 'cancel', 'requested', 5, 5, 5",
    )
    .await;
    let unheard = written(
        world,
        "running",
        ", cancel_mode, cancel_reason, cancel_at",
        ", 'cancel', 'requested', 5",
    )
    .await;
    let desk = few(&all, 50, 50).await;
    let mut reader = desk.reader("root").await;
    assert_eq!((reader.rows.len(), &reader.tick["running_more"]), (52, &json!(true)));
    assert_eq!(
        (&reader.rows[&late]["stop_at"], reader.rows[&unheard].get("stop_at")),
        (&json!(0), None)
    );
    // Once it has stopped it is one of those that have.
    ends(world, &late, "cancelled", "1").await;
    reader
        .until(|reader| reader.asked.contains_key(&late) && !reader.rows.contains_key(&late))
        .await;
}

async fn a_tree_is_shown_to_its_top_however_deep_it_is<W: World>(world: &W) {
    let all = empty(world).await;
    let mut ids = vec![written(world, "waiting", "", "").await];
    for _ in 0..250 {
        let above = ids.last().unwrap().clone();
        ids.push(below(world, "waiting", &above).await);
    }
    // All but the lowest have ended long ago.
    let ended = "UPDATE desist_ops SET state = 'succeeded', finished_at = 2 WHERE id <> ";
    world.sql(&format!("{ended} '{}'", ids.last().unwrap())).await;
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    reader.until(|reader| reader.rows.len() == ids.len()).await;
    for pair in ids.windows(2) {
        let (above, id) = (json!(pair[0]), &pair[1]);
        reader.until_row(id, |row| row["parent"] == above).await;
    }
}

async fn of_those_that_were_stopped_the_last_thousand_are_told<W: World>(world: &W) {
    let all = empty(world).await;
    let many = "INSERT INTO desist_ops (id, kind, state, input, created_at, run_at, started_at, finished_at, \
                cancel_mode, cancel_reason, cancel_at, heard_at) \
                SELECT 'op_' || substr('00000000000000000000000000' || n, length('' || n) + 1), 'a', \
                'cancelled', 'null', 1, 1, 1, 1000000000 + n * 1000, 'cancel', 'requested', 1000000, 2000000 FROM \
                (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1100) \
                SELECT n FROM n) numbers";
    world.sql(many).await;
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    assert!(reader.rows.is_empty());
    assert_eq!(reader.asked.len(), 1000);
    let stopped = |reader: &crate::reader::Reader| {
        reader.asked.values().map(|one| one["stopped"].as_i64().unwrap()).min()
    };
    assert_eq!(stopped(&reader), Some(1_000_101));
    assert!(reader.asked.values().all(|one| one["asked"] == 1000 && one["heard"] == 2000));
    // One more is told alone.
    let id = written(
        world,
        "running",
        ", cancel_mode, cancel_reason, cancel_at, heard_at",
        ", 'cancel', 'requested', 5000, 6000",
    )
    .await;
    reader.until_row(&id, |_| true).await;
    ends(world, &id, "failed", "2000000000").await;
    reader.until(|reader| reader.asked.contains_key(&id)).await;
    assert_eq!((reader.asked.len(), &reader.asked[&id]["outcome"]), (1001, &json!("failed")));
    reader.tick().await;
    assert_eq!(reader.asked.len(), 1001);
}

async fn is_away<W: World>(world: &W, is: bool) {
    let names = if is { ("desist_ops", "away") } else { ("away", "desist_ops") };
    world.sql(&format!("ALTER TABLE {} RENAME TO {}", names.0, names.1)).await;
}

async fn a_database_that_does_not_answer_is_said_so_and_what_was_shown_stays<W: World>(world: &W) {
    let all = empty(world).await;
    let id = written(world, "running", "", "").await;
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    is_away(world, true).await;
    reader.until(|reader| !reader.tick["down_since"].is_null()).await;
    let since = reader.tick["down_since"].clone();
    let behind = reader.tick["now"].as_i64().unwrap() - since.as_i64().unwrap();
    assert!((-5000..60_000).contains(&behind), "{}", reader.tick);
    // It goes on saying so, since then.
    for _ in 0..2 {
        reader.tick().await;
        assert_eq!(reader.tick["down_since"], since);
    }
    assert!(reader.rows.contains_key(&id));
    is_away(world, false).await;
    reader.until(|reader| reader.tick["down_since"].is_null()).await;
    let late = written(world, "waiting", "", "").await;
    reader.until_row(&late, |_| true).await;
    assert_eq!(reader.rows.len(), 2);
    assert_eq!(reader.names.iter().filter(|name| *name == "reset").count(), 1);
}

async fn who_comes_while_the_database_is_away_sees_it_as_soon_as_it_is_there<W: World>(world: &W) {
    let all = empty(world).await;
    let id = written(world, "running", "", "").await;
    is_away(world, true).await;
    let desk = Desk::open(&all).await;
    let mut reader = crate::reader::Reader::of(desk.live("root")).await;
    reader.until(|reader| !reader.tick["down_since"].is_null()).await;
    assert!(!reader.is_whole && reader.rows.is_empty(), "it does not say that there is nothing");
    is_away(world, false).await;
    reader.until(|reader| reader.is_whole && reader.tick["down_since"].is_null()).await;
    assert!(reader.rows.contains_key(&id));
}

/// A line to Postgres that is cut tells nobody; it is found out, and found out when it is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_line_that_is_cut_is_found_out_and_so_is_its_mending() {
    let Some(world) = crate::world::OnPostgres::begin().await else { return };
    is_found_out(&world).await;
}

async fn is_found_out<W: World>(world: &W) {
    let (store, line) = world.on_a_line().await;
    let all = of_store(store, []).open().await.unwrap();
    elsewhere(world).await;
    let id = written(world, "running", "", "").await;
    let desk = Desk::open(&all).await;
    let mut reader = desk.reader("root").await;
    line.cut();
    let before = reader.names.len();
    reader.until(|reader| !reader.tick["down_since"].is_null()).await;
    assert!(
        reader.names[before..].iter().filter(|name| *name == "tick").count() >= 2,
        "it is told something meanwhile"
    );
    line.mend();
    let began = std::time::Instant::now();
    reader.until(|reader| reader.tick["down_since"].is_null()).await;
    assert!(began.elapsed() < crate::PATIENCE, "it took {:?}", began.elapsed());
    let late = written(world, "waiting", "", "").await;
    reader.until_row(&late, |_| true).await;
    assert!(reader.rows.contains_key(&id));
}

/// What is said to Postgres, word for word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_nothing_is_asked_while_nobody_looks_and_once_for_all_who_do() {
    let Some(server) = crate::server::Server::start(&[("log_statement", "all")]) else { return };
    let store = desist_ops::Postgres::open(&server.tcp_url()).unwrap();
    let all = of_store(store, [stays("a")]).open().await.unwrap();
    is_asked_once(&all, || server.log().matches("CAST(3 AS bigint)").count()).await;
}

async fn is_asked_once<S: Store>(all: &Operations<S>, looks: impl Fn() -> usize) {
    let desk = Desk::open(all).await;
    let run = runs(all);
    running(all, "a").await;
    assert_eq!(looks(), 0, "nobody looks");
    let began = std::time::Instant::now();
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(desk.reader("root").await);
    }
    for _ in 0..3 {
        let id = begun(all, "a").await.to_string();
        for reader in &mut readers {
            reader.until_row(&id, |_| true).await;
        }
    }
    let (looks, most) = (looks(), began.elapsed().as_millis() / 500 + 2);
    assert!(looks >= 4 && (looks as u128) <= most, "{looks} looks, {most} at most");
    run.end().await;
}
