//! The search index, compared with what the texts give now.
//!
//! There are millions of postings, and computing them again takes minutes, so a snapshot would be held for too long. Each
//! statement compares a hundred objects in a snapshot of its own instead. Triggers write the index in the transaction of
//! the change, so every snapshot must show it as it should be, whatever else happens.

use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::found::Found;
use super::report::Kind;
use super::row::DifferenceRow;
use crate::{Result, db};

/// How many objects a statement compares.
const OBJECTS: i64 = 100;

/// How many words a statement compares.
const WORDS: i64 = 2000;

/// All checks of the index.
pub(super) async fn all(pool: &PgPool) -> Result<Vec<DifferenceRow>> {
    let mut rows = objects(pool).await?;
    rows.extend(passages(pool).await?);
    rows.extend(words(pool).await?);
    Ok(rows)
}

/// Compares the postings of everything that is, or could be, in the index.
async fn objects(pool: &PgPool) -> Result<Vec<DifferenceRow>> {
    let (mut found, mut after) = (Found::new(Kind::SearchIndex), Uuid::nil());
    loop {
        let chunk = sqlx::query_file!("src/admin/verify/search_objects.sql", after, OBJECTS)
            .fetch_one(&mut *db::acquire(pool).await?)
            .await?;
        found.add(chunk.ids, chunk.stored, chunk.expected);
        let Some(last) = chunk.last else { return Ok(found.into_rows()) };
        after = last;
    }
}

/// Compares the passages of everything that is, or could be, in the index.
async fn passages(pool: &PgPool) -> Result<Vec<DifferenceRow>> {
    let (mut found, mut after) = (Found::new(Kind::SearchPassage), Uuid::nil());
    loop {
        let chunk = sqlx::query_file!("src/admin/verify/search_passages.sql", after, OBJECTS)
            .fetch_one(&mut *db::acquire(pool).await?)
            .await?;
        found.add(chunk.ids, chunk.stored, chunk.expected);
        let Some(last) = chunk.last else { return Ok(found.into_rows()) };
        after = last;
    }
}

/// Compares in how many objects each word occurs, once the worker has counted the latest changes.
async fn words(pool: &PgPool) -> Result<Vec<DifferenceRow>> {
    let (mut found, mut after) = (Found::new(Kind::SearchWord), String::new());
    loop {
        let chunk = sqlx::query_file!("src/admin/verify/search_words.sql", after, WORDS)
            .fetch_one(&mut *db::acquire(pool).await?)
            .await?;
        found.add(chunk.ids, chunk.stored, chunk.expected);
        let Some(last) = chunk.last else { return Ok(found.into_rows()) };
        after = last;
    }
}
