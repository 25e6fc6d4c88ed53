//! Who reads what there is to see, as the page does, and believes nothing.

use std::collections::{BTreeMap, VecDeque};

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::PATIENCE;

/// Server-sent events, and what a page has of them.
pub(crate) struct Reader {
    response: Response,
    text: Vec<u8>,
    ready: VecDeque<(String, Value)>,
    /// Everything that came, as it came.
    pub(crate) raw: Vec<u8>,
    /// The names of the events, in order.
    pub(crate) names: Vec<String>,
    pub(crate) hello: Value,
    pub(crate) rows: BTreeMap<String, Value>,
    pub(crate) asked: BTreeMap<String, Value>,
    pub(crate) process: Option<Value>,
    pub(crate) tick: Value,
    pub(crate) bye: Option<Value>,
    /// Everything has been sent since the last reset.
    pub(crate) is_whole: bool,
    /// The states that one has had, each once in a row.
    pub(crate) states: BTreeMap<String, Vec<String>>,
}

impl Reader {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = tokio::time::timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            response,
            text: Vec::new(),
            ready: VecDeque::new(),
            raw: Vec::new(),
            names: Vec::new(),
            hello: Value::Null,
            rows: BTreeMap::new(),
            asked: BTreeMap::new(),
            process: None,
            tick: Value::Null,
            bye: None,
            is_whole: false,
            states: BTreeMap::new(),
        }
    }

    /// The same, which has all of it.
    pub(crate) async fn whole(request: RequestBuilder) -> Self {
        let mut reader = Self::of(request).await;
        reader.until(|reader| reader.is_whole).await;
        // There may have been one before, while it was looked for long.
        reader.tick().await;
        reader
    }

    /// Its name, and what it says; `None` when it is over.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((name, data)) = self.ready.pop_front() {
                self.takes(&name, &data);
                return Some((name, data));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let Ok(Some(chunk)) = chunk.expect("nothing comes any more") else {
                assert!(self.text.is_empty(), "it ends in the middle of an event");
                return None;
            };
            self.raw.extend_from_slice(&chunk);
            // What was there before has no end in it.
            let mut from = self.text.len().saturating_sub(1);
            self.text.extend_from_slice(&chunk);
            let end = |text: &[u8], from: usize| {
                text[from..].windows(2).position(|two| two == b"\n\n").map(|end| from + end)
            };
            while let Some(end) = end(&self.text, from) {
                let event: Vec<_> = self.text.drain(..end + 2).collect();
                self.ready.extend(parsed(std::str::from_utf8(&event[..end]).unwrap()));
                from = 0;
            }
        }
    }

    /// Until it is so.
    pub(crate) async fn until(&mut self, is: impl Fn(&Self) -> bool) {
        let reads = async {
            while !is(self) {
                if self.next().await.is_none() {
                    return false;
                }
            }
            true
        };
        let was = tokio::time::timeout(PATIENCE * 2, reads).await;
        let some: Vec<_> = self.rows.values().take(5).collect();
        assert_eq!(was, Ok(true), "it never was so: {} {} {some:?}", self.names.len(), self.tick);
    }

    /// Until that one is so.
    pub(crate) async fn until_row(&mut self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.until(|reader| reader.rows.get(id).is_some_and(&is)).await;
        self.rows[id].clone()
    }

    /// Until one more has been told, and with it what was new by then.
    pub(crate) async fn tick(&mut self) {
        while self.next().await.expect("it is over").0 != "tick" {}
    }

    /// To its end.
    pub(crate) async fn rest(&mut self) {
        let rest = async { while self.next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, rest).await.expect("it does not end");
    }

    fn takes(&mut self, name: &str, data: &Value) {
        let is_first = self.names.is_empty();
        assert_eq!(is_first, name == "hello", "{name} after {:?}", self.names);
        assert!(self.bye.is_none(), "{name} after the last word");
        self.names.push(name.to_owned());
        match name {
            "hello" => self.hello = data.clone(),
            "reset" => {
                self.rows.clear();
                self.asked.clear();
                self.is_whole = false;
            }
            "rows" => {
                let rows = data.as_array().unwrap();
                assert!((1..=500).contains(&rows.len()), "{} at once", rows.len());
                rows.iter().for_each(|row| self.row(row));
            }
            "gone" => {
                for id in data.as_array().unwrap() {
                    let had = self.rows.remove(id.as_str().unwrap());
                    assert!(had.is_some(), "{id} was never told of");
                }
            }
            "asked" => {
                for one in data.as_array().unwrap() {
                    let id = one["id"].as_str().unwrap().to_owned();
                    assert_eq!(self.asked.insert(id, one.clone()), None, "{one} comes twice");
                }
            }
            "process" => self.process = Some(data.clone()),
            "whole" => {
                self.is_whole = true;
                // What was told before is not of this.
                self.tick = Value::Null;
            }
            "tick" => {
                let count = |state| self.rows.values().filter(|row| row["state"] == state).count();
                assert_eq!(data["running"], count("running"), "{data}");
                assert_eq!(data["waiting"], count("waiting"), "{data}");
                assert_eq!(data["down"].is_null(), data["down_since"].is_null(), "{data}");
                self.tick = data.clone();
            }
            "bye" => self.bye = Some(data.clone()),
            _ => panic!("{name} is not known"),
        }
    }

    fn row(&mut self, row: &Value) {
        let id = row["id"].as_str().unwrap().to_owned();
        assert!(row.as_object().unwrap().values().all(|value| !value.is_null()), "{row}");
        assert!(row["may_cancel"].is_boolean(), "{row}");
        let version = |row: &Value| row["version"].as_i64().unwrap();
        if let Some(known) = self.rows.get(&id) {
            // Of the same version there is another right.
            let is_news = version(row) > version(known) || row != known;
            assert!(version(row) >= version(known) && is_news, "{row} after {known}");
        }
        let state = row["state"].as_str().unwrap();
        let states = self.states.entry(id.clone()).or_default();
        if states.last().is_none_or(|last| last != state) {
            states.push(state.to_owned());
        }
        self.rows.insert(id, row.clone());
    }
}

/// Each line of it is one that a browser knows, and there is one that has the data.
fn parsed(event: &str) -> Option<(String, Value)> {
    assert!(!event.contains('\r'), "{event:?}");
    let (mut name, mut data) = (None, None);
    for line in event.split('\n') {
        if let Some(is) = line.strip_prefix("event: ") {
            assert_eq!(name.replace(is.to_owned()), None, "{event:?}");
        } else if let Some(is) = line.strip_prefix("data: ") {
            let is = serde_json::from_str::<Value>(is).unwrap_or_else(|_| panic!("{event:?}"));
            assert_eq!(data.replace(is), None, "{event:?}");
        } else {
            assert!(line.starts_with(':'), "{event:?}");
        }
    }
    name.zip(data)
}

/// What a reader must never see is nowhere in what came.
pub(crate) fn never_said(reader: &Reader, secrets: &[&str]) {
    let said = String::from_utf8_lossy(&reader.raw);
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
}
