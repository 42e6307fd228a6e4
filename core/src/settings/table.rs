//! The list of all settings.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::values::{Budget, EmailVerification, ProjectModeration, RegistrationMode};
use crate::schema::{Duplicates, Fault, Json, Schema};
use crate::{Error, Result};

/// What is known of a setting besides its value.
#[derive(Debug)]
pub struct Definition {
    /// Identifies the setting in the activity log, whose targets are UUIDs. Follows from the key.
    pub id: Uuid,
    /// The name, such as `ai.daily_questions`.
    pub key: &'static str,
    /// What the setting decides, for people.
    pub description: &'static str,
    /// The value unless an admin has set another.
    pub default: Value,
    /// What a value may be, as JSON Schema.
    pub schema: Value,
    compiled: Schema,
}

impl Definition {
    fn new(key: &'static str, description: &'static str, default: Value, schema: Value) -> Result<Self> {
        let compiled = Schema::new(schema.clone())?;
        Ok(Self { id: id_of(key), key, description, default, schema, compiled })
    }

    /// What is wrong with a value; nothing if the setting can have it.
    pub fn check(&self, value: &Value) -> Vec<Fault> {
        self.compiled.check(&Json { value: value.clone(), duplicates: Duplicates::default() })
    }
}

/// A UUID of version 8 that is made of the key.
fn id_of(key: &str) -> Uuid {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(format!("setting:{key}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

macro_rules! define_settings {
    ($($key:literal $field:ident: $type:ty = $default:expr, $schema:expr, $description:literal;)*) => {
        /// All settings. The default of a setting applies unless a value is stored that its schema allows.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $(#[doc = concat!("`", $key, "`: ", $description)] pub $field: $type,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Settings {
            /// Sets the setting with this key. Keys of other releases are ignored.
            pub(super) fn set(&mut self, key: &str, value: Value) -> Result<()> {
                match key {
                    $($key => set(&mut self.$field, key, value),)*
                    _ => Ok(()),
                }
            }
        }

        fn define() -> Result<Vec<Definition>> {
            let defaults = Settings::default();
            Ok(vec![$(Definition::new($key, $description, serde_json::to_value(defaults.$field)?, $schema)?,)*])
        }
    };
}

define_settings! {
    "registration.mode" registration_mode: RegistrationMode = RegistrationMode::Invite, one_of(&["invite", "open"]),
        "Who can register: people with a valid invite, or everyone (`open`).";
    "users.email_verification" email_verification: EmailVerification = EmailVerification::Off, one_of(&["off", "required"]),
        "Whether users must verify their email address with a link (`required`). Needs a mail hook. Admins are exempt.";
    "navigation.styles" show_styles: bool = true, flag(),
        "Whether front ends show the style cards. The API serves them in any case.";
    "navigation.glossary" show_glossary: bool = true, flag(),
        "Whether front ends show the glossary. The API serves it in any case.";
    "navigation.prompts" show_prompts: bool = true, flag(),
        "Whether front ends show the prompts. The API serves them in any case.";
    "navigation.projects" show_projects: bool = true, flag(),
        "Whether front ends show the projects. The API serves them in any case.";
    "navigation.tools" show_tools: bool = true, flag(),
        "Whether front ends show the AI tools. The API serves them in any case.";
    "navigation.search" show_search: bool = true, flag(),
        "Whether front ends show the search. The API serves it in any case.";
    "features.enabled" features: Vec<String> = Vec::new(), names(),
        "The names of optional features that front ends switch on.";
    "ai.daily_questions" daily_questions: i64 = 50, whole(0, 1_000_000),
        "How many questions one learner may ask in 24 hours.";
    "ai.max_message_chars" max_message_chars: usize = 8000, whole(1, 100_000),
        "The longest question, in characters.";
    "ai.open_replies_per_user" open_replies_per_user: i64 = 2, whole(1, 100),
        "How many replies of one learner may be unfinished at the same time.";
    "ai.budgets" budgets: Vec<Budget> = Vec::new(), budgets(),
        "How much the AI tools may use in a day or a month of UTC: each learner, a tool, or the platform, in tokens or in millionths of the currency of the prices. Without a budget there is no limit; of several, each applies.";
    "projects.moderation" project_moderation: ProjectModeration = ProjectModeration::Off, one_of(&["off", "on"]),
        "Whether a mentor must approve the projects of learners before they are shown.";
    "jobs.keep_done_hours" keep_done_hours: i32 = 24, whole(1, 8760),
        "How long finished jobs are kept, in hours.";
    "jobs.keep_dead_days" keep_dead_days: i32 = 30, whole(1, 3650),
        "How long dead jobs are kept, in days.";
    "activity.keep_months" activity_keep_months: i32 = 24, whole(1, 1200),
        "How long the activity log is kept, in months.";
    "replies.keep_failed_days" keep_failed_reply_days: i32 = 30, whole(1, 3650),
        "How long the text of failed replies is kept, in days.";
    "sessions.idle_days" session_idle_days: i64 = 30, whole(1, 3650),
        "After how many days without a refresh a session ends. Sessions that are open keep theirs until they are refreshed.";
    "sessions.max_days" session_max_days: i64 = 90, whole(1, 3650),
        "After how many days a session ends in any case. Sessions that are open keep theirs until they are refreshed.";
    "sessions.max_open" max_open_sessions: i64 = 50, whole(1, 1000),
        "How many sessions of one user may be open. Another sign-in ends the one that was not used for longest.";
    "sessions.keep_ended_days" keep_ended_session_days: i32 = 7, whole(1, 3650),
        "How long expired sessions are kept, in days.";
    "privacy.keep_origin_days" keep_origin_days: i32 = 90, whole(1, 3650),
        "How long the addresses and browsers of users are kept, in days.";
}

static DEFINITIONS: LazyLock<Result<Vec<Definition>>> = LazyLock::new(define);

/// All settings, in the order of the table.
pub fn definitions() -> Result<&'static [Definition]> {
    DEFINITIONS.as_deref().map_err(Error::copy)
}

/// The setting with this key.
pub fn definition(key: &str) -> Result<Option<&'static Definition>> {
    Ok(definitions()?.iter().find(|definition| definition.key == key))
}

fn set<T: DeserializeOwned>(field: &mut T, key: &str, value: Value) -> Result<()> {
    let faults = definition(key)?.map(|definition| definition.check(&value)).unwrap_or_default();
    if let Some(fault) = faults.first() {
        return Err(Error::message(fault.message.clone()));
    }
    *field = serde_json::from_value(value)?;
    Ok(())
}

fn one_of(choices: &[&str]) -> Value {
    json!({ "type": "string", "enum": choices })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn whole(least: i64, most: i64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn budgets() -> Value {
    let budget = json!({
        "type": "object",
        "required": ["scope", "period", "unit", "amount"],
        "properties": {
            "scope": one_of(&["learner", "assistant", "tz_helper", "ideas", "platform"]),
            "period": one_of(&["day", "month"]),
            "unit": one_of(&["tokens", "cost_micros"]),
            "amount": whole(0, 1_000_000_000_000_000),
        },
        "additionalProperties": false,
    });
    json!({ "type": "array", "maxItems": 50, "uniqueItems": true, "items": budget })
}

fn names() -> Value {
    let name = json!({ "type": "string", "maxLength": 50, "pattern": "^[a-z][a-z0-9_]*$" });
    json!({ "type": "array", "maxItems": 50, "uniqueItems": true, "items": name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_schema_and_can_be_set() {
        let mut settings = Settings::default();
        for definition in definitions().unwrap() {
            assert_eq!(definition.check(&definition.default), [], "{}", definition.key);
            settings.set(definition.key, definition.default.clone()).unwrap();
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn a_bound_fits_the_type() {
        let mut settings = Settings::default();
        for definition in definitions().unwrap() {
            for bound in ["minimum", "maximum"] {
                if let Some(value) = definition.schema.get(bound) {
                    settings.set(definition.key, value.clone()).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_value_that_its_schema_refuses_changes_nothing() {
        let mut settings = Settings::default();
        for (key, value) in [
            ("ai.daily_questions", json!(-1)),
            ("ai.daily_questions", json!("5")),
            ("registration.mode", json!("nobody")),
            ("features.enabled", json!(["a", "a"])),
            ("ai.budgets", json!([{"scope": "nobody", "period": "day", "unit": "tokens", "amount": 1}])),
            ("ai.budgets", json!([{"scope": "learner", "period": "day", "unit": "tokens"}])),
            ("ai.budgets", json!([{"scope": "learner", "period": "day", "unit": "tokens", "amount": -1}])),
        ] {
            settings.set(key, value).unwrap_err();
        }
        settings.set("no.such_setting", json!(1)).unwrap();
        assert_eq!(settings, Settings::default());
    }
}
