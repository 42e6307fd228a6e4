//! Platform settings, for admins.

use cairn_core::resource::Edit;
use cairn_core::schema::Fault;
use cairn_core::settings::{self, Definition, Setting};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{Any, ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON};
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use crate::answers::Versioned;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, IfMatch, parameter_type};
use crate::problem::FieldError;
use crate::time::OptionalTime;
use crate::{App, Code, Problem};

/// Platform settings, for admins.
pub struct AdminSettingsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("getSetting", &[Code::SettingNotFound]),
    ("updateSetting", &[Code::SettingNotFound]),
    ("resetSetting", &[Code::SettingNotFound]),
];

/// The name of a setting.
pub struct SettingKey(String);

parameter_type!(SettingKey, "setting_key", required: true, MetaSchema {
    description: Some("The name of the setting."),
    max_length: Some(100),
    pattern: Some(r"^[a-z_]+(\.[a-z_]+)+$".to_owned()),
    example: Some("ai.daily_questions".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for SettingKey {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let is_sane = value.contains('.') && value.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
        if is_sane && value.len() <= 100 {
            Ok(Self(value.to_owned()))
        } else {
            Err(ParseError::custom("lower-case words are expected, joined by dots"))
        }
    }
}

/// A value as some setting can have it. Which setting can have which value is in the setting's own schema.
#[derive(Clone, Debug)]
pub struct SettingValue(Value);

parameter_type!(SettingValue, "setting_value", required: true, {
    let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
    let text = || MetaSchema { max_length: Some(1000), ..MetaSchema::new("string") };
    let word = || inline(MetaSchema { max_length: Some(20), ..MetaSchema::new("string") });
    let amount = inline(MetaSchema::new_with_format("integer", "int64"));
    let budget = MetaSchema {
        description: Some("A budget of the AI tools."),
        required: vec!["scope", "period", "unit", "amount"],
        properties: vec![("scope", word()), ("period", word()), ("unit", word()), ("amount", amount)],
        ..MetaSchema::new("object")
    };
    // One list of either, because generators of clients cannot tell two kinds of lists apart.
    let item = MetaSchema { any_of: vec![inline(text()), inline(budget)], ..MetaSchema::ANY };
    let list = MetaSchema { items: Some(Box::new(inline(item))), max_items: Some(100), ..MetaSchema::new("array") };
    MetaSchema {
        any_of: vec![
            inline(MetaSchema::new("boolean")),
            inline(MetaSchema::new_with_format("integer", "int64")),
            inline(text()),
            inline(list),
        ],
        ..MetaSchema::ANY
    }
});

impl ParseFromJSON for SettingValue {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(value.unwrap_or_default()))
    }
}

impl ToJSON for SettingValue {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

/// A new value of a setting.
#[derive(Clone, Debug, Object)]
pub struct NewSettingValue {
    /// The value, which the setting's `schema` allows.
    pub value: SettingValue,
}

/// A setting as admins see it.
#[derive(Clone, Debug, Object)]
pub struct AdminSetting {
    /// The name.
    pub key: String,
    /// Identifies the setting in the activity log. It never changes.
    pub id: Uuid,
    /// What the setting decides.
    pub description: String,
    /// The value.
    pub value: Any<Value>,
    /// The value unless another is set.
    pub default: Any<Value>,
    /// Whether the value is the default because no other is set.
    pub is_default: bool,
    /// What a value may be, as JSON Schema.
    pub schema: Any<Value>,
    /// The version, which is also its `ETag`.
    pub version: i64,
    /// When the value was last set or reset; null if it never was.
    pub updated_at: OptionalTime,
    /// Identifies the admin who did that; null if nobody did, or not through the API.
    pub updated_by: Option<Uuid>,
}

impl From<Setting> for AdminSetting {
    fn from(setting: Setting) -> Self {
        let Setting { definition, value, is_default, version, updated_at, updated_by, .. } = setting;
        Self {
            key: definition.key.to_owned(),
            id: definition.id,
            description: definition.description.to_owned(),
            value: Any(value),
            default: Any(definition.default.clone()),
            is_default,
            schema: Any(definition.schema.clone()),
            version,
            updated_at: updated_at.into(),
            updated_by,
        }
    }
}

/// All settings.
#[derive(Clone, Debug, Object)]
pub struct SettingList {
    /// The settings, by area.
    pub items: Vec<AdminSetting>,
}

#[OpenApi]
impl AdminSettingsApi {
    /// List all settings
    ///
    /// With their values, defaults and schemas.
    #[oai(path = "/admin/settings", method = "get", operation_id = "listSettings", tag = Tag::Settings)]
    async fn list_settings(&self, _caller: Admin) -> Result<Json<SettingList>, Problem> {
        let mut connection = self.app.connection().await?;
        let items = settings::list(&mut connection).await?;
        Ok(Json(SettingList { items: items.into_iter().map(Into::into).collect() }))
    }

    /// Get a setting
    #[oai(path = "/admin/settings/:key", method = "get", operation_id = "getSetting", tag = Tag::Settings)]
    async fn get_setting(&self, _caller: Admin, key: Path<SettingKey>) -> Result<Versioned<AdminSetting>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(settings::find(&mut connection, &key.0.0).await?.into()))
    }

    /// Update a setting
    ///
    /// Every API process and worker uses the new value within seconds.
    #[oai(path = "/admin/settings/:key", method = "put", operation_id = "updateSetting", tag = Tag::Settings)]
    async fn update_setting(
        &self,
        caller: Admin,
        key: Path<SettingKey>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<NewSettingValue>,
    ) -> Result<Versioned<AdminSetting>, Problem> {
        let definition = defined(&key.0)?;
        let SettingValue(value) = body.value.value.clone();
        let faults = definition.check(&value);
        if !faults.is_empty() {
            return Err(Problem::invalid_body().with_errors(faults.into_iter().map(in_value).collect()));
        }
        let change = settings::change(value, caller.user_id);
        self.edit(&caller, definition, version, change).await
    }

    /// Reset a setting to its default
    ///
    /// Resetting a setting that has its default changes nothing.
    #[oai(path = "/admin/settings/:key", method = "delete", operation_id = "resetSetting", tag = Tag::Settings)]
    async fn reset_setting(
        &self,
        caller: Admin,
        key: Path<SettingKey>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminSetting>, Problem> {
        let definition = defined(&key.0)?;
        self.edit(&caller, definition, version, settings::reset(caller.user_id)).await
    }
}

impl AdminSettingsApi {
    async fn edit(
        &self,
        caller: &Admin,
        definition: &Definition,
        version: IfMatch,
        edit: Edit<Setting>,
    ) -> Result<Versioned<AdminSetting>, Problem> {
        let answer = self.app.edit(caller, definition.id, version, edit).await?;
        self.app.settings.invalidate();
        Ok(answer)
    }
}

fn defined(key: &SettingKey) -> Result<&'static Definition, Problem> {
    settings::definition(&key.0)?.ok_or_else(Problem::setting_not_found)
}

/// A fault of the value, as one of the body.
fn in_value(fault: Fault) -> FieldError {
    Fault { pointer: format!("/value{}", fault.pointer), ..fault }.into()
}
