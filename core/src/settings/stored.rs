//! Settings as they are stored: reading and changing them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::table::{Definition, Settings, definitions};
use crate::Result;
use crate::activity::Verb;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::resource::{Edit, Refusal, Resource};

/// A setting with its value. A setting without a row has version 1, so that its first change names a version as every other
/// change does.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// What is known of the setting besides its value.
    #[serde(skip)]
    pub definition: &'static Definition,
    /// The value.
    pub value: Value,
    /// Whether the value is the default because no other is set.
    pub is_default: bool,
    /// The version.
    pub version: i64,
    /// When the value was last set or reset; `None` if it never was.
    #[serde(skip)]
    pub updated_at: Option<DateTime<Utc>>,
    /// The admin who did that; `None` if nobody did, or not through the API.
    #[serde(skip)]
    pub updated_by: Option<Uuid>,
    #[serde(skip)]
    deleted_at: Option<DateTime<Utc>>,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        (self.definition.key, &self.value, self.is_default) == (other.definition.key, &other.value, other.is_default)
    }
}

impl Setting {
    fn new(definition: &'static Definition, row: Option<Row>) -> Self {
        let (version, updated_at, updated_by) =
            row.as_ref().map_or((1, None, None), |row| (row.version, row.updated_at, row.updated_by));
        let stored = row.map(|row| row.value).filter(|value| !value.is_null());
        let is_default = stored.is_none();
        let value = stored.unwrap_or_else(|| definition.default.clone());
        Self { definition, value, is_default, version, updated_at, updated_by, deleted_at: None }
    }
}

/// A row of the table. `updated_at` is `None` until the first change.
struct Row {
    key: String,
    value: Value,
    version: i64,
    updated_at: Option<DateTime<Utc>>,
    updated_by: Option<Uuid>,
}

/// Selects stored settings from `$from`.
macro_rules! select_rows {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT key, value, version, CASE WHEN version > 1 THEN updated_at END AS updated_at, updated_by
               FROM "# + $from,
            $($argument),*
        )
    };
}

impl Resource for Setting {
    const NOUN: Noun = Noun::Setting;

    fn id(&self) -> Uuid {
        self.definition.id
    }

    fn title(&self) -> &str {
        self.definition.key
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let Some(definition) = definitions()?.iter().find(|definition| definition.id == id) else { return Ok(None) };
        // A row to lock, so that of two admins who change a setting for the first time one comes second.
        sqlx::query!(
            "INSERT INTO platform_settings (key, value) VALUES ($1, 'null') ON CONFLICT DO NOTHING",
            definition.key
        )
        .execute(&mut *connection)
        .await?;
        let row = select_rows!("platform_settings WHERE key = $1 FOR NO KEY UPDATE", definition.key);
        Ok(Some(Self::new(definition, row.fetch_optional(connection).await?)))
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let row = sqlx::query_as!(
            Row,
            "UPDATE platform_settings SET value = $2, updated_by = $3 WHERE key = $1
             RETURNING key, value, version, updated_at, updated_by",
            self.definition.key,
            if self.is_default { Value::Null } else { self.value.clone() },
            self.updated_by
        );
        Ok(Self::new(self.definition, Some(row.fetch_one(connection).await?)))
    }
}

/// Gives the setting this value, which its schema allows ([`Definition::check`]).
pub fn change(value: Value, updated_by: Uuid) -> Edit<Setting> {
    Edit::new(Verb::Updated, move |setting: &mut Setting| {
        (setting.value, setting.is_default, setting.updated_by) = (value, false, Some(updated_by));
        Ok(())
    })
}

/// Gives the setting its default.
pub fn reset(updated_by: Uuid) -> Edit<Setting> {
    Edit::new(Verb::Reset, move |setting: &mut Setting| {
        setting.value = setting.definition.default.clone();
        (setting.is_default, setting.updated_by) = (true, Some(updated_by));
        Ok(())
    })
}

/// All settings with their values, in the order of the table.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<Setting>> {
    let mut rows = select_rows!("platform_settings").fetch_all(connection).await?;
    let mut take = |key: &str| rows.iter().position(|row| row.key == key).map(|index| rows.swap_remove(index));
    Ok(definitions()?.iter().map(|definition| Setting::new(definition, take(definition.key))).collect())
}

/// One setting with its value.
pub async fn find(connection: &mut PgConnection, key: &str) -> Result<Setting, Rejected<NotFound>> {
    let definition = super::table::definition(key)?.or_not_found(Noun::Setting)?;
    let row = select_rows!("platform_settings WHERE key = $1", key);
    Ok(Setting::new(definition, row.fetch_optional(connection).await?))
}

/// Reads all settings. A value that its setting cannot have was written by hand; the default applies instead.
pub async fn load(connection: &mut PgConnection) -> Result<Settings> {
    let rows = select_rows!("platform_settings").fetch_all(connection).await?;
    let mut settings = Settings::default();
    for row in rows.into_iter().filter(|row| !row.value.is_null()) {
        if let Err(error) = settings.set(&row.key, row.value) {
            tracing::warn!(
                setting.key = row.key,
                error = %error,
                "a platform setting has a value that it cannot have; using its default"
            );
        }
    }
    Ok(settings)
}
