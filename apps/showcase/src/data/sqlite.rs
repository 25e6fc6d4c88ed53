//! Documents in a file.

use async_trait::async_trait;
use desist::Token;
use desist_host::BoxError;
use desist_sql::sqlite::Pool;
use desist_sql::sqlite::rusqlite::{Error, Result, params};

use super::words::{as_indexed, counted};
use super::{Document, Documents, FIRST, Found, New, fill};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS document (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        indexed INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX IF NOT EXISTS document_to_index ON document (id) WHERE indexed = 0;
    CREATE TABLE IF NOT EXISTS word (
        word TEXT NOT NULL,
        document INTEGER NOT NULL REFERENCES document,
        times INTEGER NOT NULL,
        PRIMARY KEY (word, document)
    ) WITHOUT ROWID;";

const SEARCH: &str = "
    WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 40 FROM place WHERE n < 110)
    SELECT document.id, document.title, (
        SELECT count(*) FROM document AS other JOIN place
        WHERE other.id <> document.id AND other.id <= ?2
        AND instr(other.text, substr(document.text, n, 12)) > 0
    ) AS alike
    FROM word JOIN document ON document.id = word.document
    WHERE word.word = ?1
    ORDER BY alike DESC, document.id LIMIT 5";

const REPORT: &str = "
    WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < 20)
    SELECT count(*) FROM place, document, document AS other
    WHERE other.id <> document.id AND other.id <= ?1 AND document.id <= ?1
    AND instr(other.text, substr(document.text, n, 12)) > 0";

pub(crate) struct SqliteDocuments {
    pool: Pool,
}

impl SqliteDocuments {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Documents for SqliteDocuments {
    async fn prepare(&self, stop: &Token) -> Result<(), BoxError> {
        self.pool.write(stop, |conn| conn.execute_batch(TABLES)).await?;
        fill(self, stop).await
    }

    async fn add(&self, stop: &Token, documents: Vec<New>) -> Result<u64, BoxError> {
        let added = self.pool.transaction(stop, move |tx| {
            let insert = "INSERT INTO document (key, title, text) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            let mut insert = tx.prepare_cached(insert)?;
            let mut added = 0;
            for New { key, title, text } in documents {
                added += insert.execute([key, title, text])? as u64;
            }
            Ok::<_, Error>(added)
        });
        Ok(added.await?)
    }

    async fn index(&self, stop: &Token, most: u32) -> Result<u64, BoxError> {
        let indexed = self.pool.transaction(stop, move |tx| {
            let next = "SELECT id, title || ' ' || text FROM document WHERE indexed = 0 ORDER BY id LIMIT ?1";
            let mut next = tx.prepare_cached(next)?;
            let rows = next.query_map([most], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let documents = rows.collect::<Result<Vec<(i64, String)>>>()?;
            let mut insert = tx.prepare_cached("INSERT INTO word VALUES (?1, ?2, ?3)")?;
            let mut done = tx.prepare_cached("UPDATE document SET indexed = 1 WHERE id = ?1")?;
            for (id, text) in &documents {
                for (word, times) in counted(text) {
                    insert.execute(params![word, id, times])?;
                }
                done.execute([id])?;
            }
            Ok::<_, Error>(documents.len() as u64)
        });
        Ok(indexed.await?)
    }

    async fn count(&self, stop: &Token) -> Result<i64, BoxError> {
        let count = self.pool.run(stop, |conn| {
            conn.query_row("SELECT count(*) FROM document", [], |row| row.get(0))
        });
        Ok(count.await?)
    }

    async fn after(&self, stop: &Token, id: i64, most: u32) -> Result<Vec<Document>, BoxError> {
        let page = self.pool.run(stop, move |conn| {
            let page = "SELECT id, title, text FROM document WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut page = conn.prepare_cached(page)?;
            let rows = page.query_map(params![id, most], |row| {
                Ok(Document { id: row.get(0)?, title: row.get(1)?, text: row.get(2)? })
            })?;
            rows.collect::<Result<Vec<_>>>()
        });
        Ok(page.await?)
    }

    async fn search(&self, stop: &Token, word: String) -> Result<Vec<Found>, BoxError> {
        let found = self.pool.run(stop, move |conn| {
            let mut search = conn.prepare_cached(SEARCH)?;
            let rows = search.query_map(params![as_indexed(&word), FIRST], |row| {
                Ok(Found { id: row.get(0)?, title: row.get(1)?, alike: row.get(2)? })
            })?;
            rows.collect::<Result<Vec<_>>>()
        });
        Ok(found.await?)
    }

    async fn report(&self, stop: &Token) -> Result<i64, BoxError> {
        let alike = self.pool.run(stop, |conn| conn.query_row(REPORT, [FIRST], |row| row.get(0)));
        Ok(alike.await?)
    }
}
