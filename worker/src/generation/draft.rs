//! The text of an answer while it grows, and how much of it is stored.

use std::time::Duration;

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
    stored_at: Instant,
}

impl Default for Draft {
    fn default() -> Self {
        Self { text: String::new(), stored: 0, stored_at: Instant::now() }
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

    /// The text that is not stored.
    pub(super) fn new_text(&self) -> &str {
        &self.text[self.stored..]
    }

    /// Notes that all of the text is stored.
    pub(super) fn mark_stored(&mut self) {
        self.stored = self.text.len();
        self.stored_at = Instant::now();
    }
}
