//! In the background: what has come is indexed.

use std::time::Duration;

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;

use super::House;
use crate::log::{Asker, Entry};
use crate::mediator::and_behind_it;

const AT_A_TIME: u32 = 200;
const PAUSE: Duration = Duration::from_millis(500);
/// After so many in which nothing came it has caught up.
const PAUSES: u32 = 3;

/// Until it is asked to stop. An error is a failure of the service, which is started again
/// after a while.
pub(crate) async fn index<S>(house: House<S>, stop: Stop) -> Result<(), BoxError> {
    let documents = house.documents.take()?;
    let mut entry: Option<(Entry, u64)> = None;
    let mut pauses = 0;
    loop {
        // A batch is all or none, so it may be stopped in its middle.
        let indexed = documents.index(&stop, AT_A_TIME).await.inspect_err(|error| {
            if let Some((entry, _)) = entry.take().filter(|_| !stop.token().is_cancelled()) {
                entry.fail(and_behind_it(&**error));
            }
        })?;
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
            sleep(PAUSE, &stop).await?;
        }
    }
}
