//! Search over what learners may see: lessons, prompts, glossary.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Error, Result};

/// Longest part of a query that counts, in characters.
const MAX_QUERY_CHARS: usize = 1000;

/// Most hits one search returns.
pub const MAX_HITS: i64 = 50;

/// What a hit is. Serialized as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HitKind {
    /// A published lesson.
    Lesson,
    /// A published prompt.
    Prompt,
    /// A published glossary term.
    GlossaryTerm,
}

impl HitKind {
    /// Its name in answers and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lesson => "lesson",
            Self::Prompt => "prompt",
            Self::GlossaryTerm => "glossary_term",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What it is.
    pub kind: HitKind,
    /// Its id.
    pub id: Uuid,
    /// Its slug.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about: the beginning of its summary, description or definition, at most 300 characters.
    pub snippet: String,
}

/// The best hits for a query, best first: at most `limit`, and never more than [`MAX_HITS`].
///
/// Any text is a query; quotes, `or` and `-` mean what they mean in a search engine. When nothing holds all its words,
/// things that hold some of them are found. Russian and English words match in all their forms.
pub async fn search(connection: &mut PgConnection, query: &str, limit: i64) -> Result<Vec<Hit>> {
    // NUL cannot be sent to Postgres.
    let text: String = query.chars().map(|c| if c == '\0' { ' ' } else { c }).take(MAX_QUERY_CHARS).collect();
    // The lexemes are quoted by hand: a lexeme may hold quotes and backslashes (paths, URLs).
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
/// A lesson's snippet never comes from its body: the reader's stage may be locked.
async fn ranked(connection: &mut PgConnection, tsquery: &str, limit: i64) -> Result<Vec<Hit>> {
    let rows = sqlx::query!(
        r#"SELECT kind AS "kind!", id AS "id!", slug AS "slug!", title AS "title!", left(about, 300) AS "snippet!"
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
    )
    .fetch_all(connection)
    .await?;
    let hit = |kind: &str| match kind {
        "lesson" => Ok(HitKind::Lesson),
        "prompt" => Ok(HitKind::Prompt),
        "glossary_term" => Ok(HitKind::GlossaryTerm),
        other => Err(Error::message(format!("a search hit of unknown kind `{other}`"))),
    };
    rows.into_iter()
        .map(|row| {
            let kind = hit(&row.kind)?;
            Ok(Hit { kind, id: row.id, slug: row.slug, title: row.title, snippet: row.snippet })
        })
        .collect()
}
