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
