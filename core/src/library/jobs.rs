//! The jobs of this area.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::items::ItemKind;
use crate::queue::{Job, Queue};

/// Counts the uses of one item that have not been counted yet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RollUpUses {
    /// The kind of the item.
    pub kind: ItemKind,
    /// Identifies the item among those of its kind.
    pub item_id: Uuid,
}

impl Job for RollUpUses {
    const KIND: &'static str = "roll_up_uses";
    const QUEUE: Queue = Queue::Likes;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Gets the vectors of passages that have none, if an endpoint for embeddings is configured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EmbedPassages {}

impl Job for EmbedPassages {
    const KIND: &'static str = "embed_passages";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 3;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// Counts the words of the search index again, if anything was changed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CountSearchTerms {}

impl Job for CountSearchTerms {
    const KIND: &'static str = "count_search_terms";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 3;
    const DEADLINE: Duration = Duration::from_secs(20);
}
