//! Search in published lessons, prompts and glossary terms.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// How much of a query is used, in characters.
const MAX_QUERY_CHARS: usize = 1000;

/// The greatest number of hits that a search returns.
pub const MAX_HITS: i64 = 50;

/// What kind of object a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each names itself")]
pub enum HitKind {
    Lesson,
    Prompt,
    GlossaryTerm,
}

impl HitKind {
    /// The name in answers and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A published object that matches a query.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What kind of object it is.
    pub kind: HitKind,
    /// Identifies the object among those of its kind.
    pub id: Uuid,
    /// The readable identifier; unique among objects of its kind.
    pub slug: String,
    /// The title, or the term itself.
    pub title: String,
    /// The beginning of the summary, description or definition, at most 300 characters.
    pub snippet: String,
}

/// Finds at most `limit` hits, and never more than [`MAX_HITS`], best first.
///
/// Any text is a valid query; quotes, `or` and `-` have the meaning they have in a search engine. If no object contains all
/// the words, objects that contain some of them are returned. Russian and English words match in all their forms.
pub async fn search(connection: &mut PgConnection, query: &str, limit: i64) -> Result<Vec<Hit>> {
    // Postgres does not accept NUL in text.
    let text: String = query.chars().map(|c| if c == '\0' { ' ' } else { c }).take(MAX_QUERY_CHARS).collect();
    // Lexemes are quoted here because they may contain quotes and backslashes, for instance in paths and URLs.
    let parsed = sqlx::query!(
        r#"SELECT websearch_to_tsquery('russian', $1)::text AS "all_words!",
               (SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')
                FROM unnest(to_tsvector('russian', $1))) AS any_word"#,
        text
    )
    .fetch_one(&mut *connection)
    .await?;
    let limit = limit.clamp(1, MAX_HITS);
    let hits = ranked(connection, &parsed.all_words, limit).await?;
    match parsed.any_word {
        Some(any_word) if hits.is_empty() => ranked(connection, &any_word, limit).await,
        _ => Ok(hits),
    }
}

/// Runs a query in tsquery syntax.
///
/// The snippet of a lesson never comes from its body, because the lesson may be locked for the reader.
async fn ranked(connection: &mut PgConnection, tsquery: &str, limit: i64) -> Result<Vec<Hit>> {
    let hits = sqlx::query_as!(
        Hit,
        r#"SELECT kind AS "kind!: HitKind", id AS "id!", slug AS "slug!", title AS "title!", left(about, 300) AS "snippet!"
           FROM (
               SELECT 'lesson' AS kind, id, slug::text, title, summary AS about,
                   ts_rank(search, $1::text::tsquery, 1) AS rank
               FROM visible_lessons WHERE search @@ $1::text::tsquery
               UNION ALL
               SELECT 'prompt', id, slug::text, title, coalesce(nullif(description, ''), body),
                   ts_rank(search, $1::text::tsquery, 1)
               FROM prompts
               WHERE search @@ $1::text::tsquery AND publication = 'published' AND deleted_at IS NULL
               UNION ALL
               SELECT 'glossary_term', id, slug::text, term, definition, ts_rank(search, $1::text::tsquery, 1)
               FROM glossary_terms
               WHERE search @@ $1::text::tsquery AND publication = 'published' AND deleted_at IS NULL
           ) found
           ORDER BY rank DESC, kind, id LIMIT $2"#,
        tsquery,
        limit
    );
    Ok(hits.fetch_all(connection).await?)
}
