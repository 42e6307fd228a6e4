//! The jobs of this area.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::{Job, Queue};

/// Erases the data of a user who deleted their account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EraseUser {
    /// Identifies the user.
    pub user_id: Uuid,
}

impl Job for EraseUser {
    const KIND: &'static str = "erase_user";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(20);
}
