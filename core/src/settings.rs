//! Platform settings: typed values an admin can change while everything runs.

use serde::Deserialize;
use sqlx::PgConnection;

use crate::Result;

/// Who can register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationMode {
    /// A valid invite is needed.
    Invite,
    /// Anyone.
    Open,
}

/// Whether projects wait for a mentor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectModeration {
    /// A new project is shown at once.
    Off,
    /// A learner's project is submitted first; those of mentors and admins are shown at once.
    On,
}

/// All settings, with the defaults that count where a row is missing or holds a value of the wrong type.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `registration.mode`
    pub registration_mode: RegistrationMode,
    /// `ai.daily_questions`: questions one learner may ask in 24 hours.
    pub daily_questions: i64,
    /// `ai.max_message_chars`: longest question, in characters.
    pub max_message_chars: usize,
    /// `ai.open_replies_per_user`
    pub open_replies_per_user: i64,
    /// `projects.moderation`
    pub project_moderation: ProjectModeration,
    /// `jobs.keep_done_hours`
    pub keep_done_hours: i32,
    /// `jobs.keep_dead_days`
    pub keep_dead_days: i32,
    /// `activity.keep_months`
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
            tracing::warn!(setting.key = key, error = %error, "a platform setting is not readable; its default counts");
        }
    }
    Ok(settings)
}

fn set<T: serde::de::DeserializeOwned>(field: &mut T, value: serde_json::Value) -> Result<(), serde_json::Error> {
    *field = serde_json::from_value(value)?;
    Ok(())
}
