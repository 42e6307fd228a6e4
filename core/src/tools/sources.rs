//! The platform's content that an answer can refer to.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::library::search::{self, HitKind};

/// Most items of the platform's content in a context.
const MAX_SOURCES: i64 = 5;

/// What answers refer to. Style cards are pictures rather than explanations, and projects are other learners' words.
const SOURCE_KINDS: &[HitKind] = &[HitKind::Lesson, HitKind::Prompt, HitKind::GlossaryTerm];

/// An item of the platform's content that an answer can refer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The kind of item.
    pub kind: HitKind,
    /// The id of the item.
    pub id: Uuid,
    /// The title.
    pub title: String,
    /// A summary of the item.
    pub about: String,
}

/// Finds the content on a user's question, the best match first.
pub async fn find(connection: &mut PgConnection, _user_id: Uuid, question: &str) -> Result<Vec<Source>> {
    let hits = search::search(&mut *connection, question, SOURCE_KINDS, MAX_SOURCES).await?;
    let sources = hits.into_iter().map(|hit| Source { kind: hit.kind, id: hit.id, title: hit.title, about: hit.about });
    Ok(sources.collect())
}
