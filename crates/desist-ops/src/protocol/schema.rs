//! The tables, and how they come to be what they are.

use super::any;
use crate::Error;
use crate::error::Kind;
use crate::store::{Conn, Dialect, Work, values};

/// Of the code: the newest migration that it knows.
const VERSION: i64 = 1;

struct Migration {
    version: i64,
    /// The oldest code that can work with what it leaves.
    works_with: i64,
    statements: &'static [&'static str],
}

/// Never changed once released; what is to be changed is a new one.
const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    works_with: 1,
    statements: &[
        "CREATE TABLE desist_ops_node (
            node text PRIMARY KEY,
            label text NOT NULL,
            joined_at bigint NOT NULL,
            lease_until bigint NOT NULL
        )",
        "CREATE TABLE desist_ops (
            seq [sequence],
            id text NOT NULL UNIQUE,
            kind text NOT NULL,
            state text NOT NULL
                CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled')),
            generation bigint NOT NULL DEFAULT 0,
            version bigint NOT NULL DEFAULT 1,
            parent text,
            key text,
            tags text NOT NULL DEFAULT '[]',
            actor text,
            traceparent text,
            attempt bigint NOT NULL DEFAULT 0,
            attempts bigint NOT NULL DEFAULT 1,
            after_death text NOT NULL DEFAULT 'fail',
            grace bigint NOT NULL DEFAULT 5000000,
            node text REFERENCES desist_ops_node (node),
            ran_on text,
            input text NOT NULL,
            output text,
            error text,
            created_at bigint NOT NULL,
            run_at bigint NOT NULL,
            started_at bigint,
            finished_at bigint,
            done bigint,
            total bigint,
            message text,
            progress_at bigint,
            cancel_mode text,
            cancel_reason text,
            cancel_message text,
            cancel_actor text,
            cancel_at bigint,
            heard_at bigint,
            seen_at bigint,
            stop_at bigint,
            refused_at bigint,
            tree_cancel text,
            CHECK ((node IS NOT NULL) = (state = 'running')),
            CHECK ((finished_at IS NOT NULL) = (state NOT IN ('waiting', 'running')))
        ) [fill]",
        "CREATE INDEX desist_ops_waiting ON desist_ops (kind, run_at, seq) WHERE state = 'waiting'",
        "CREATE INDEX desist_ops_running ON desist_ops (node) WHERE node IS NOT NULL",
        "CREATE INDEX desist_ops_parent ON desist_ops (parent) WHERE parent IS NOT NULL",
        "CREATE INDEX desist_ops_key ON desist_ops (kind, key)
            WHERE key IS NOT NULL AND state IN ('waiting', 'running')",
        "CREATE INDEX desist_ops_stopping ON desist_ops (stop_at)
            WHERE stop_at IS NOT NULL AND node IS NOT NULL",
        "CREATE INDEX desist_ops_finished ON desist_ops (finished_at) WHERE finished_at IS NOT NULL",
        "CREATE INDEX desist_ops_asked ON desist_ops (cancel_at)
            WHERE cancel_at IS NOT NULL AND finished_at IS NULL",
        "CREATE INDEX desist_ops_stopped ON desist_ops (finished_at)
            WHERE cancel_at IS NOT NULL AND finished_at IS NOT NULL",
        "CREATE INDEX desist_ops_kind ON desist_ops (kind, seq)",
        "CREATE INDEX desist_ops_state ON desist_ops (state, seq)",
        "CREATE INDEX desist_ops_actor ON desist_ops (actor, seq) WHERE actor IS NOT NULL",
        "CREATE INDEX desist_ops_reason ON desist_ops (cancel_reason, seq)
            WHERE cancel_reason IS NOT NULL",
        "CREATE INDEX desist_ops_canceller ON desist_ops (cancel_actor, seq)
            WHERE cancel_actor IS NOT NULL",
        "CREATE TABLE desist_ops_tag (
            tag text NOT NULL,
            id text NOT NULL,
            PRIMARY KEY (tag, id)
        )",
        "CREATE INDEX desist_ops_tag_of ON desist_ops_tag (id)",
        "CREATE TABLE desist_ops_event (
            id text NOT NULL,
            number bigint NOT NULL,
            at bigint NOT NULL,
            what text NOT NULL,
            detail text NOT NULL,
            PRIMARY KEY (id, number)
        )",
    ],
}];

/// Makes what is not there yet.
#[derive(Debug, Clone)]
pub(crate) struct Migrate;

impl Work for Migrate {
    type Done = ();

    async fn run<C: Conn>(self, conn: &mut C) -> Result<(), Error> {
        // Whoever starts at the same time waits here, and finds it done.
        conn.hold("desist_ops_schema").await?;
        let creates = "CREATE TABLE IF NOT EXISTS desist_ops_schema (
            version bigint PRIMARY KEY,
            works_with bigint NOT NULL,
            made_at bigint NOT NULL
        )";
        if !is_there(conn).await? {
            conn.rows(creates, values![]).await?;
        }
        let newer = "SELECT version, works_with FROM desist_ops_schema WHERE works_with > $1 \
                     ORDER BY version DESC LIMIT 1";
        if let Some(mut row) = conn.rows(newer, values![VERSION]).await?.into_iter().next() {
            let (version, works_with) = (row.int()?, row.int()?);
            let said = format!(
                "the tables of operations were migrated to version {version}, which needs code of \
                 version {works_with}, and this is {VERSION}; deploy a newer desist-ops here"
            );
            return Err(Error::new(Kind::Built, said));
        }
        for migration in MIGRATIONS {
            let made = "SELECT 1 FROM desist_ops_schema WHERE version = $1";
            if any(&conn.rows(made, values![migration.version]).await?) {
                continue;
            }
            for statement in migration.statements {
                let statement = for_dialect(statement, conn.dialect());
                conn.rows(&statement, values![]).await?;
            }
            let notes = "INSERT INTO desist_ops_schema (version, works_with, made_at) \
                         VALUES ($1, $2, {now})";
            conn.rows(notes, values![migration.version, migration.works_with]).await?;
        }
        Ok(())
    }
}

/// On Postgres `IF NOT EXISTS` needs the right to create, also where nothing is created.
async fn is_there<C: Conn>(conn: &mut C) -> Result<bool, Error> {
    let looks = match conn.dialect() {
        Dialect::Postgres => {
            "SELECT CAST(relname AS text) FROM pg_catalog.pg_class \
             WHERE oid = to_regclass('desist_ops_schema')"
        }
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE name = 'desist_ops_schema'",
    };
    Ok(any(&conn.rows(looks, values![]).await?))
}

fn for_dialect(statement: &str, dialect: Dialect) -> String {
    let (sequence, fill) = match dialect {
        // Rows are changed in place as long as their page has room, and often.
        Dialect::Postgres => (
            "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            "WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
        ),
        Dialect::Sqlite => ("integer PRIMARY KEY AUTOINCREMENT", ""),
    };
    statement.replace("[sequence]", sequence).replace("[fill]", fill)
}
