//! Documents on a server, which several instances may share.

use async_trait::async_trait;
use desist::Token;
use desist_host::BoxError;
use desist_sql::postgres::{Conn, Pool};
use tokio_postgres::Row;

use super::words::{as_indexed, counted};
use super::{Document, Documents, FIRST, Found, New, fill};

/// There was no connection, and nothing was done: it can be asked for again.
pub(crate) fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<desist_sql::Error<tokio_postgres::Error>>();
    error.is_some_and(desist_sql::Error::is_no_connection)
}

/// One instance makes them, though several start at once.
const TABLES: &str = "
    SELECT pg_advisory_xact_lock(hashtext('the tables of the showcase'));
    CREATE TABLE IF NOT EXISTS document (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        indexed BOOLEAN NOT NULL DEFAULT false
    );
    CREATE INDEX IF NOT EXISTS document_to_index ON document (id) WHERE NOT indexed;
    CREATE TABLE IF NOT EXISTS word (
        word TEXT NOT NULL,
        document BIGINT NOT NULL REFERENCES document,
        times BIGINT NOT NULL,
        PRIMARY KEY (word, document)
    )";

const ADD: &str = "
    INSERT INTO document (key, title, text)
    SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[]) ON CONFLICT DO NOTHING";

/// What another instance indexes at this moment is left to it.
const TO_INDEX: &str = "
    SELECT id, title || ' ' || text FROM document WHERE NOT indexed
    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED";

const INDEXED: &str = "
    INSERT INTO word SELECT * FROM unnest($1::TEXT[], $2::BIGINT[], $3::BIGINT[])";

const SEARCH: &str = "
    SELECT document.id, document.title, (
        SELECT count(*) FROM document AS other, generate_series(1, 121, 40) AS n
        WHERE other.id <> document.id AND other.id <= $2
        AND position(substr(document.text, n, 12) IN other.text) > 0
    ) AS alike
    FROM word JOIN document ON document.id = word.document
    WHERE word.word = $1
    ORDER BY alike DESC, document.id LIMIT 5";

const REPORT: &str = "
    SELECT count(*) FROM document, document AS other, generate_series(1, 20) AS n
    WHERE other.id <> document.id AND other.id <= $1 AND document.id <= $1
    AND position(substr(document.text, n, 12) IN other.text) > 0";

pub(crate) struct PostgresDocuments {
    pool: Pool,
}

impl PostgresDocuments {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Documents for PostgresDocuments {
    async fn prepare(&self, stop: &Token) -> Result<(), BoxError> {
        self.pool.transaction(stop, |tx| async move { tx.batch_execute(TABLES).await }).await?;
        fill(self, stop).await
    }

    async fn add(&self, stop: &Token, documents: Vec<New>) -> Result<u64, BoxError> {
        let (mut keys, mut titles, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for New { key, title, text } in documents {
            keys.push(key);
            titles.push(title);
            texts.push(text);
        }
        let added = self.pool.transaction(stop, |tx| async move {
            tx.execute(ADD, &[&keys, &titles, &texts]).await
        });
        Ok(added.await?)
    }

    async fn index(&self, stop: &Token, most: u32) -> Result<u64, BoxError> {
        let indexed = self.pool.transaction(stop, |tx| async move {
            let rows = tx.query(TO_INDEX, &[&i64::from(most)]).await?;
            let mut ids: Vec<i64> = Vec::new();
            let (mut words, mut documents, mut times) = (Vec::new(), Vec::new(), Vec::new());
            for row in &rows {
                let id: i64 = row.try_get(0)?;
                ids.push(id);
                for (word, many) in counted(row.try_get(1)?) {
                    words.push(word);
                    documents.push(id);
                    times.push(many);
                }
            }
            tx.execute(INDEXED, &[&words, &documents, &times]).await?;
            tx.execute("UPDATE document SET indexed = true WHERE id = ANY($1)", &[&ids]).await?;
            Ok::<_, tokio_postgres::Error>(ids.len() as u64)
        });
        Ok(indexed.await?)
    }

    async fn count(&self, stop: &Token) -> Result<i64, BoxError> {
        let count = self.pool.run(stop, move |conn: Conn| async move {
            conn.query_one("SELECT count(*) FROM document", &[]).await
        });
        Ok(count.await?.try_get(0)?)
    }

    async fn after(&self, stop: &Token, id: i64, most: u32) -> Result<Vec<Document>, BoxError> {
        let page = self.pool.run(stop, move |conn: Conn| async move {
            let page = "SELECT id, title, text FROM document WHERE id > $1 ORDER BY id LIMIT $2";
            conn.query(page, &[&id, &i64::from(most)]).await
        });
        let document = |row: &Row| {
            Ok(Document { id: row.try_get(0)?, title: row.try_get(1)?, text: row.try_get(2)? })
        };
        page.await?.iter().map(document).collect()
    }

    async fn search(&self, stop: &Token, word: String) -> Result<Vec<Found>, BoxError> {
        let found = self.pool.run(stop, move |conn: Conn| async move {
            conn.query(SEARCH, &[&as_indexed(&word), &i64::from(FIRST)]).await
        });
        let document = |row: &Row| {
            Ok(Found { id: row.try_get(0)?, title: row.try_get(1)?, alike: row.try_get(2)? })
        };
        found.await?.iter().map(document).collect()
    }

    async fn report(&self, stop: &Token) -> Result<i64, BoxError> {
        let alike = self.pool.run(stop, move |conn: Conn| async move {
            conn.query_one(REPORT, &[&i64::from(FIRST)]).await
        });
        Ok(alike.await?.try_get(0)?)
    }
}
