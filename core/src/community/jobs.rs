//! The jobs of this area.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::{Job, Queue};

/// Recounts the likes of one project.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CountLikes {
    /// Identifies the project.
    pub project_id: Uuid,
}

impl Job for CountLikes {
    const KIND: &'static str = "count_likes";
    const QUEUE: Queue = Queue::Likes;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Takes likes that are older than seven days out of the trending rank.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RefreshTrending {}

impl Job for RefreshTrending {
    const KIND: &'static str = "refresh_trending";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 10; // safe to repeat, so a lost worker should not leave a dead job for an operator
    const DEADLINE: Duration = Duration::from_secs(20);
}
