//! In the background: what has come is indexed.

use std::time::Duration;

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;

use super::House;
use crate::log::{Asker, Entry};
use crate::mediator::and_behind_it;
use crate::say;

const AT_A_TIME: u32 = 200;
const PAUSE: Duration = Duration::from_millis(500);
/// After so many in which nothing came it has caught up.
const PAUSES: u32 = 3;

/// When the database was away.
const AGAIN: Duration = Duration::from_secs(2);

/// Until it is asked to stop. A database that is away is asked again until it is back: there is
/// nothing that a new start would mend.
pub(crate) async fn index<S>(house: House<S>, stop: Stop) -> Result<(), BoxError> {
    let mut entry = None;
    let ended = index_on(&house, &stop, &mut entry).await;
    if let Some((entry, _)) = entry {
        entry.end(&ended, "");
    }
    ended
}

/// With what is in the log for it, and how many it has done since.
async fn index_on<S>(
    house: &House<S>,
    stop: &Stop,
    entry: &mut Option<(Entry, u64)>,
) -> Result<(), BoxError> {
    let documents = house.documents.take()?;
    let (mut pauses, mut is_away) = (0, false);
    loop {
        // A batch is all or none, so it may be stopped in its middle.
        let indexed = match documents.index(stop, AT_A_TIME).await {
            Ok(indexed) => indexed,
            Err(error) if stop.token().is_cancelled() => return Err(error),
            Err(error) => {
                let why = and_behind_it(&*error);
                match entry.take() {
                    Some((entry, _)) => entry.fail(why),
                    None if is_away => {}
                    None => say(format_args!("nothing is indexed for now: {why}")),
                }
                is_away = true;
                sleep(AGAIN, stop).await?;
                continue;
            }
        };
        if std::mem::take(&mut is_away) {
            say("it is indexed again");
        }
        if indexed > 0 {
            pauses = 0;
            let (entry, done) = entry.get_or_insert_with(|| {
                let asker = Asker::called("the indexer");
                (Entry::begin(&house.log, "indexing", asker, stop.token().clone()), 0)
            });
            *done += indexed;
            entry.progress(*done, None);
            stop.check()?;
        } else {
            pauses += 1;
            if let Some((entry, _)) = entry.take_if(|_| pauses == PAUSES) {
                entry.finish();
            }
            sleep(PAUSE, stop).await?;
        }
    }
}
