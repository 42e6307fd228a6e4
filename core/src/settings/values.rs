//! Types of settings that are neither numbers nor flags.

use serde::{Deserialize, Serialize};

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationMode {
    /// Only people with a valid invite.
    Invite,
    /// Everyone.
    Open,
}

/// Whether users must prove that their email address is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailVerification {
    /// They need not.
    Off,
    /// Whoever has not, and is no admin, can only see their account and ask for a link.
    Required,
}

/// Whether a mentor must approve projects before they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectModeration {
    /// New projects are published immediately.
    Off,
    /// Projects of learners are submitted for approval. Those of mentors and admins are published immediately.
    On,
}
