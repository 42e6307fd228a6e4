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

/// What a budget covers. Tools are named, because settings know nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BudgetScope {
    /// Each learner.
    Learner,
    /// The tool `assistant`.
    Assistant,
    /// The tool `tz_helper`.
    TzHelper,
    /// The tool `ideas`.
    Ideas,
    /// Everything.
    Platform,
}

/// How long a budget lasts. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BudgetPeriod {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BudgetUnit {
    /// Tokens of requests and answers.
    Tokens,
    /// Millionths of the currency in which prices are configured.
    CostMicros,
}

/// How much the AI tools may use in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// What it covers.
    pub scope: BudgetScope,
    /// How long it lasts.
    pub period: BudgetPeriod,
    /// What it is counted in.
    pub unit: BudgetUnit,
    /// How much it is.
    pub amount: i64,
}

macro_rules! names {
    ($($type:ty),*) => {$(
        impl $type {
            /// The name in settings and answers.
            pub fn name(self) -> &'static str {
                self.into()
            }
        }
    )*};
}
names!(BudgetScope, BudgetPeriod, BudgetUnit);
