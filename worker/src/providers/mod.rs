//! Who writes answers.

pub mod library;

use cairn_core::db::Db;
use cairn_core::tools::replies::{Attempt, Usage};

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text in the pieces it came in; put together, they are the answer.
    pub pieces: Vec<String>,
    /// What it took.
    pub usage: Usage,
}

/// Answers the question of an attempt.
pub async fn generate(db: &Db, attempt: &Attempt) -> cairn_core::Result<Answer> {
    let pieces = library::generate(db, attempt.tool, &attempt.question).await?;
    Ok(Answer { pieces, usage: Usage::default() })
}
