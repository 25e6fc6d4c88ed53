//! A search, which nobody waits for any more when they look for something else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use desist::{Reason, Source, Token};
use desist_host::BoxError;
use desist_mediator::{Answer, Behaviour, Call, Error, Handler, Invalid};
use serde::Serialize;

use super::{Asked, Work};
use crate::data::{Found, Shared};

pub(crate) struct Search {
    pub(crate) text: String,
    /// Whose search it is: a newer one of the same takes its place. Of nobody: none does.
    pub(crate) session: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct Answered {
    found: Vec<Found>,
    took_ms: u64,
}

impl Work for Search {
    type Response = Answered;

    const NAME: &'static str = "search";

    fn validate(&self) -> Result<(), Invalid> {
        let advice = "give one word to look for, as in text=harbour";
        let is_word = self.text.split_whitespace().count() == 1 && !self.text.contains('\0');
        Invalid::unless(is_word, "text", advice)
    }
}

/// Does them.
pub(crate) struct Searches {
    documents: Shared,
}

impl Searches {
    pub(crate) fn new(documents: Shared) -> Self {
        Self { documents }
    }
}

impl Handler<Asked<Search>> for Searches {
    type Error = BoxError;

    async fn handle(&self, stop: Token, asked: Asked<Search>) -> Result<Answered, BoxError> {
        let began = Instant::now();
        let found = self.documents.search(&stop, asked.work.text.trim().to_owned()).await?;
        Ok(Answered { found, took_ms: began.elapsed().as_millis() as u64 })
    }
}

/// Around each search: it asks the one before it of the same session to stop.
#[derive(Clone, Default)]
pub(crate) struct SupersededBy {
    newest: Arc<Mutex<Newest>>,
}

#[derive(Default)]
struct Newest {
    begun: u64,
    of: HashMap<u64, (u64, Source)>,
}

impl SupersededBy {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is the newest of its session until this is dropped, or another one is.
    fn takes_over(&self, session: u64, text: &str, source: Source) -> Held {
        let mut newest = self.newest();
        newest.begun += 1;
        let number = newest.begun;
        let before = newest.of.insert(session, (number, source));
        drop(newest);
        if let Some((_, before)) = before {
            before.cancel_with(Reason::Superseded.with(format!("a search for {text:?}")));
        }
        Held { all: self.clone(), session, number }
    }
}

struct Held {
    all: SupersededBy,
    session: u64,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut newest = self.all.newest();
        if newest.of.get(&self.session).is_some_and(|(number, _)| *number == self.number) {
            newest.of.remove(&self.session);
        }
    }
}

impl Behaviour for SupersededBy {
    async fn handle(&self, mut call: Call) -> Result<Answer, Error> {
        let source = call.narrow();
        let asked = call.request::<Asked<Search>>().map(|asked| &asked.work);
        let Some(Search { text, session: Some(session) }) = asked else {
            return call.proceed().await;
        };
        let held = self.takes_over(*session, text, source);
        let answer = call.proceed().await;
        drop(held);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_search_of_the_same_session_takes_the_place_of_the_one_before() {
        let all = SupersededBy::default();
        let [one, two, other] = [(); 3].map(|()| Source::new());
        let first = all.takes_over(7, "amber", one.clone());
        let _another = all.takes_over(8, "amber", other.clone());
        let second = all.takes_over(7, "birch", two.clone());
        let why = one.token().cancellation().unwrap();
        assert_eq!(why.reason(), Reason::Superseded);
        assert_eq!(why.detail().unwrap().to_string(), "a search for \"birch\"");
        // What is over takes nothing from the one after it.
        drop(first);
        let third = all.takes_over(7, "cinder", Source::new());
        assert!(two.token().is_cancelled() && !other.token().is_cancelled());
        drop((second, third));
        assert_eq!(all.newest().of.len(), 1, "only that of the other session is left");
    }
}
