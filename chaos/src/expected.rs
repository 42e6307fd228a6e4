//! What one person did, as the server accepted it.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::session::{Counts, Session};

/// What must be stored at the end.
pub(crate) struct Expected {
    pub(crate) user_id: Uuid,
    pub(crate) counts: Counts,
    /// The lessons that are completed at the end, in order; `None` if that is open.
    pub(crate) completed: Option<Vec<Uuid>>,
    /// Decisions about projects that were confirmed.
    pub(crate) decisions: Vec<Decision>,
    /// Edits of content.
    pub(crate) edits: Edits,
    /// Questions to a provider that shows its faults.
    pub(crate) questions: Vec<Question>,
}

/// A question that was accepted, and what its reader has received.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) reply_id: Uuid,
    pub(crate) received: Received,
}

/// What a reader has received, as a browser's `EventSource` would keep it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) text: String,
    pub(crate) last_id: String,
    /// The name of the last event; `None` if the reply did not end in time.
    pub(crate) end: Option<String>,
    /// Why the reply failed.
    pub(crate) reason: Option<String>,
    /// How often the text started over.
    pub(crate) restarts: usize,
    /// How often the stream ended before the reply did.
    pub(crate) disconnects: usize,
}

/// A mentor's decision.
pub(crate) struct Decision {
    pub(crate) project_id: Uuid,
    pub(crate) action: &'static str,
    pub(crate) status: &'static str,
}

/// Edits of content.
#[derive(Default)]
pub(crate) struct Edits {
    /// Resources with the versions that confirmed edits gave them.
    pub(crate) versions: Vec<(Uuid, i64)>,
    /// Titles that confirmed edits gave. Each is given once.
    pub(crate) titles: BTreeSet<String>,
    /// Titles of edits whose answer was lost.
    pub(crate) uncertain_titles: BTreeSet<String>,
    /// Slugs of what was created.
    pub(crate) created: Vec<String>,
}

impl Expected {
    /// Nothing but what was counted.
    pub(crate) fn of(session: Session) -> Self {
        Self {
            user_id: session.user_id,
            counts: session.counts,
            completed: None,
            decisions: Vec::new(),
            edits: Edits::default(),
            questions: Vec::new(),
        }
    }
}
