//! The text of an attempt, stored while it grows.

use std::time::Duration;

use cairn_core::Result;
use cairn_core::tools::attempts::{self, Attempt};
use sqlx::PgConnection;
use tokio::time::Instant;

/// Longest time that text waits for more text before it is stored. Each time costs a commit and a notification of the
/// readers. At this rate a reader sees a steady flow, and twenty commits a second for each answer are affordable.
const STORE_INTERVAL: Duration = Duration::from_millis(50);

/// Text of this many bytes is stored without waiting.
const FULL_CHUNK: usize = 1024;

/// Longest answer, in bytes. The model has run away if there is more: an instruction allows far less.
const MAX_LENGTH: usize = 200 * 1024;

/// See the module.
pub(super) struct Draft {
    text: String,
    /// How many bytes of it are stored.
    stored: usize,
    /// The sequence number of the last stored chunk.
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
        self.text.len() > MAX_LENGTH
    }

    /// When new text is to be stored; `None` if there is none. The first text after a pause does not wait.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.text.len() - self.stored {
            0 => None,
            FULL_CHUNK.. => Some(self.stored_at),
            _ => Some(self.stored_at + STORE_INTERVAL),
        }
    }

    /// Stores new text. Returns `false` if the attempt may no longer write.
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
