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

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// It has a link with which the user proves that the address is theirs.
    EmailVerification,
    /// It has a link with which the user sets a new password.
    PasswordReset,
}

/// Creates the link of a mail and hands the mail to the hook.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SendMail {
    /// What the mail is about.
    pub kind: MailKind,
    /// Who gets it; `None` if it was asked for with an address that nobody has. Such a job does nothing.
    pub user_id: Option<Uuid>,
}

impl Job for SendMail {
    const KIND: &'static str = "send_mail";
    const QUEUE: Queue = Queue::Activity;
    const MAX_ATTEMPTS: i32 = 10;
    const DEADLINE: Duration = Duration::from_secs(15);
}
