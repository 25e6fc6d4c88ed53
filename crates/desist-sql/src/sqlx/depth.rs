//! sqlx' own count of transactions, which makes a savepoint of what begins within one.
//!
//! While a closure works in a transaction it must stand at one, or whatever begins and
//! commits there would commit it.

use ::sqlx::postgres::PgTransactionManager as Manager;
use ::sqlx::{Connection, PgConnection, Result, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;

pub(super) async fn begin(conn: &mut PgConnection, sql: impl SqlSafeStr + Send) -> Result<()> {
    // It only borrows the connection, and would roll back.
    std::mem::forget(conn.begin_with(sql).await?);
    Ok(())
}

/// The innermost one.
pub(super) async fn commit(conn: &mut PgConnection) -> Result<()> {
    Manager::commit(conn).await
}

/// The innermost one.
pub(super) async fn roll_back(conn: &mut PgConnection) -> Result<()> {
    Manager::rollback(conn).await
}

pub(super) fn of(conn: &PgConnection) -> usize {
    Manager::get_transaction_depth(conn)
}
