//! Platform settings: typed values that an admin can change at run time.

use serde::Deserialize;
use sqlx::PgConnection;

use crate::Result;

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationMode {
    /// Only people with a valid invite.
    Invite,
    /// Everyone.
    Open,
}

/// Whether a mentor must approve projects before they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectModeration {
    /// New projects are published immediately.
    Off,
    /// Projects of learners are submitted for approval. Those of mentors and admins are published immediately.
    On,
}

/// All settings. The default of a setting applies if its row is missing or its value has the wrong type.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `registration.mode`: who may register.
    pub registration_mode: RegistrationMode,
    /// `ai.daily_questions`: questions one learner may ask in 24 hours.
    pub daily_questions: i64,
    /// `ai.max_message_chars`: the longest question, in characters.
    pub max_message_chars: usize,
    /// `ai.open_replies_per_user`: how many replies of one learner may be unfinished at the same time.
    pub open_replies_per_user: i64,
    /// `projects.moderation`: whether a mentor must approve projects.
    pub project_moderation: ProjectModeration,
    /// `jobs.keep_done_hours`: how long finished jobs are kept.
    pub keep_done_hours: i32,
    /// `jobs.keep_dead_days`: how long dead jobs are kept.
    pub keep_dead_days: i32,
    /// `activity.keep_months`: how long the activity log is kept.
    pub activity_keep_months: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registration_mode: RegistrationMode::Invite,
            daily_questions: 50,
            max_message_chars: 8000,
            open_replies_per_user: 2,
            project_moderation: ProjectModeration::Off,
            keep_done_hours: 24,
            keep_dead_days: 30,
            activity_keep_months: 24,
        }
    }
}

/// Reads all settings.
pub async fn load(connection: &mut PgConnection) -> Result<Settings> {
    let rows = sqlx::query!("SELECT key, value FROM platform_settings").fetch_all(connection).await?;
    let mut settings = Settings::default();
    for row in rows {
        let key = row.key.as_str();
        let known = match key {
            "registration.mode" => set(&mut settings.registration_mode, row.value),
            "ai.daily_questions" => set(&mut settings.daily_questions, row.value),
            "ai.max_message_chars" => set(&mut settings.max_message_chars, row.value),
            "ai.open_replies_per_user" => set(&mut settings.open_replies_per_user, row.value),
            "projects.moderation" => set(&mut settings.project_moderation, row.value),
            "jobs.keep_done_hours" => set(&mut settings.keep_done_hours, row.value),
            "jobs.keep_dead_days" => set(&mut settings.keep_dead_days, row.value),
            "activity.keep_months" => set(&mut settings.activity_keep_months, row.value),
            _ => Ok(()),
        };
        if let Err(error) = known {
            tracing::warn!(setting.key = key, error = %error, "the value of a platform setting has the wrong type; using its default");
        }
    }
    Ok(settings)
}

fn set<T: serde::de::DeserializeOwned>(field: &mut T, value: serde_json::Value) -> Result<(), serde_json::Error> {
    *field = serde_json::from_value(value)?;
    Ok(())
}
