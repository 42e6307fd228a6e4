//! The text of an attempt, stored as it grows.

use std::time::Duration;

use cairn_core::Result;
use cairn_core::tools::attempts::{self, Attempt};
use sqlx::PgConnection;
use tokio::time::Instant;

/// Longest time that text waits for more before it is stored. Each time is a commit and a message to the readers: at this
/// rate a reader sees it flow, and twenty a second for each answer is little.
const GAP: Duration = Duration::from_millis(50);

/// So many bytes do not wait.
const FULL: usize = 1024;

/// Longest answer, in bytes. Whatever is longer has run away: the longest that an instruction allows is far below.
const LONGEST: usize = 200 * 1024;

/// See the module.
pub(super) struct Draft {
    text: String,
    /// Bytes that are stored.
    stored: usize,
    /// Number of the last piece that is stored.
    seq: i32,
    stored_at: Instant,
}

impl Default for Draft {
    fn default() -> Self {
        Self { text: String::new(), stored: 0, seq: 0, stored_at: Instant::now() }
    }
}

impl Draft {
    pub(super) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.text.len() > LONGEST
    }

    /// When what is new is to be stored; `None` = nothing is. The first piece after a pause does not wait.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.text.len() - self.stored {
            0 => None,
            FULL.. => Some(self.stored_at),
            _ => Some(self.stored_at + GAP),
        }
    }

    /// Stores what is new. False when the attempt may no longer write.
    pub(super) async fn store(&mut self, connection: &mut PgConnection, attempt: &Attempt) -> Result<bool> {
        if self.stored == self.text.len() {
            return Ok(true);
        }
        let stored = attempts::append(connection, attempt, self.seq + 1, &self.text[self.stored..]).await?;
        self.stored = self.text.len();
        self.seq += 1;
        self.stored_at = Instant::now();
        Ok(stored)
    }
}
