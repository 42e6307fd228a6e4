//! The jobs of the libraries.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::uses::ItemKind;
use crate::queue::{Job, Queue};

/// Counts the uses of one item that wait to be counted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RollUpUses {
    /// What kind of item.
    pub kind: ItemKind,
    /// The item.
    pub item_id: Uuid,
}

impl Job for RollUpUses {
    const KIND: &'static str = "roll_up_uses";
    const QUEUE: Queue = Queue::Likes;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}
