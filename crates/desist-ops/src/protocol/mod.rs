//! The steps of the protocol, each a transaction: `PROTOCOL.md` has the whole of it. Each is a
//! value, so that it can be done again when the database has not answered.

mod cancel;
mod claim;
mod finish;
mod lease;
mod prune;
mod read;
mod rows;
mod schema;
#[cfg(feature = "console")]
mod shown;
mod start;
mod take_over;

pub(crate) use self::cancel::{Cancel, Cancelled, Target};
pub(crate) use self::claim::{Claim, Claimed, GiveBackOrphans, Run, Want};
pub(crate) use self::finish::{
    End, Fence, Finish, Finished, Heard, HeardOne, KeepProgress, Step, Wish,
};
pub(crate) use self::lease::{Intent, Intents, Join, Leave, Renew};
pub(crate) use self::prune::Prune;
pub(crate) use self::read::{Count, Events, Find, Get, List, Overdue};
pub(crate) use self::schema::Migrate;
#[cfg(feature = "console")]
pub(crate) use self::shown::{Open, Opened, Shown};
pub(crate) use self::start::{Start, Started};
pub(crate) use self::take_over::{TakeOver, TakenOver};

use crate::store::{Conn, Row, values};
use crate::{Error, OperationId};

/// As `{any N}` takes them. Nothing in an id needs to be escaped.
pub(crate) fn listed(ids: impl IntoIterator<Item = OperationId>) -> String {
    let ids: Vec<_> = ids.into_iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", ids.join(","))
}

/// This one and all that it is below, from it upwards. None: it is not there.
async fn ancestors<C: Conn>(conn: &mut C, id: OperationId) -> Result<Vec<OperationId>, Error> {
    let climbs = "WITH RECURSIVE up (id, parent, height) AS ( \
            SELECT id, parent, 0 FROM desist_ops WHERE id = $1 \
            UNION SELECT above.id, above.parent, up.height + 1 \
            FROM desist_ops above JOIN up ON above.id = up.parent \
        ) SELECT id FROM up ORDER BY height";
    let mut ancestors = Vec::new();
    for mut row in conn.rows(climbs, values![id]).await? {
        ancestors.push(row.parsed()?);
    }
    Ok(ancestors)
}

/// What is held of a tree, by the one at its top. The locks of rows are enough for what is right;
/// but without this many who start below a row would keep whoever cancels it waiting.
fn tree_of(top: OperationId) -> String {
    format!("tree\u{2}{top}")
}

/// What happened to these, as they are now.
async fn event<C: Conn>(
    conn: &mut C,
    ids: &str,
    what: &str,
    detail: impl Into<String> + Send,
) -> Result<(), Error> {
    let inserts = "INSERT INTO desist_ops_event (id, number, at, what, detail) \
                   SELECT id, version, {now}, $1, $2 FROM desist_ops WHERE id IN {any 3}";
    conn.rows(inserts, values![what, detail.into(), ids]).await.map(drop)
}

/// A JSON object of these.
macro_rules! detail {
    ($($name:literal: $value:expr),* $(,)?) => {
        serde_json::json!({ $($name: $value),* }).to_string()
    };
}
pub(crate) use detail;

/// Whether it gave a row.
fn any(rows: &[Row]) -> bool {
    !rows.is_empty()
}
