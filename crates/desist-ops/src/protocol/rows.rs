//! Rows, as the rest of the code knows them.

use std::time::Duration;

use crate::operation::{Operation, Progress, State};
use crate::store::{Row, conn_strange as strange};
use crate::{CancelMode, CancelRequest, Error};

/// All that an [`Operation`] has, in the order in which [`operation`] reads it.
pub(super) const COLUMNS: &str = "id, seq, kind, state, version, generation, parent, key, tags, \
    actor, traceparent, attempt, attempts, grace, ran_on, output, error, created_at, run_at, \
    started_at, finished_at, done, total, message, progress_at, cancel_mode, cancel_reason, \
    cancel_message, cancel_actor, cancel_at, heard_at, seen_at, stop_at, {now}";

/// What a [`CancelRequest`] has, in the order in which [`request`] reads it.
pub(super) const CANCEL: &str =
    "cancel_mode, cancel_reason, cancel_message, cancel_actor, cancel_at";

pub(super) fn operation(mut row: Row) -> Result<Operation, Error> {
    let row = &mut row;
    Ok(Operation {
        id: row.parsed()?,
        sequence: row.int()?,
        kind: row.text()?,
        state: State::parse(&row.text()?).ok_or_else(|| strange("its state is none"))?,
        version: row.int()?,
        generation: row.int()?,
        parent: maybe_id(row)?,
        key: row.maybe_text()?,
        tags: serde_json::from_str(&row.text()?).map_err(|_| strange("its tags are no list"))?,
        actor: row.maybe_text()?,
        traceparent: row.maybe_text()?,
        attempt: small(row.int()?),
        attempts: small(row.int()?),
        grace: duration(row.int()?),
        ran_on: row.maybe_text()?,
        output: row.maybe_text()?,
        error: row.maybe_text()?,
        created_at: crate::store::time(row.int()?),
        run_at: crate::store::time(row.int()?),
        started_at: row.maybe_time()?,
        finished_at: row.maybe_time()?,
        progress: progress(row)?,
        cancel: request(row)?,
        heard_at: row.maybe_time()?,
        seen_at: row.maybe_time()?,
        stop_at: row.maybe_time()?,
        read_at: crate::store::time(row.int()?),
    })
}

fn maybe_id(row: &mut Row) -> Result<Option<crate::OperationId>, Error> {
    let text = row.maybe_text()?;
    text.map(|text| text.parse().map_err(|_| strange("its parent is no id"))).transpose()
}

fn progress(row: &mut Row) -> Result<Option<Progress>, Error> {
    let (done, total) = (row.maybe_int()?, row.maybe_int()?);
    let (message, at) = (row.maybe_text()?, row.maybe_time()?);
    let (Some(done), Some(at)) = (done, at) else { return Ok(None) };
    let message = message.unwrap_or_default();
    Ok(Some(Progress {
        done: done.unsigned_abs(),
        total: total.map(i64::unsigned_abs),
        message,
        at,
    }))
}

pub(super) fn request(row: &mut Row) -> Result<Option<CancelRequest>, Error> {
    let (mode, reason) = (row.maybe_text()?, row.maybe_text()?);
    let (message, actor, at) = (row.maybe_text()?, row.maybe_text()?, row.maybe_time()?);
    let (Some(mode), Some(at)) = (mode, at) else { return Ok(None) };
    Ok(Some(CancelRequest {
        // One of a newer version: whatever it is, it wants an end.
        mode: CancelMode::parse(&mode).unwrap_or(CancelMode::Cancel),
        reason: crate::cancel::reason(reason.as_deref().unwrap_or_default()),
        message,
        actor,
        at: Some(at),
    }))
}

pub(super) fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
