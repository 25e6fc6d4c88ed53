//! Takes up operations and runs them, until it is asked to stop.

use desist_host::{BoxError, Stop};
use desist_ops::Store;

use super::House;

pub(crate) async fn run<S: Store>(house: House<S>, stop: Stop) -> Result<(), BoxError> {
    let report = house.operations.take()?.run(&stop).await?;
    // Those that did not stop stand in the report of the host. One whose lease was lost while the
    // process stood still, or the database was away, is begun again: that is told when it comes.
    if report.stragglers().is_empty() { Ok(()) } else { Err(report.to_string().into()) }
}
