//! The libraries in a course document: styles, glossary, prompts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Color, Publication, Slug, Url};

const DEFAULT_COLOR: &str = "#64748b";

/// A style card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// Unique among styles.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What family it belongs to.
    pub category: StyleCategory,
    /// When to use it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 5000))]
    pub description: String,
    /// What to tell an assistant to get it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 20_000))]
    pub prompt: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// A picture of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Url>")]
    pub preview_url: Option<String>,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
}

/// A glossary term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Unique among terms.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// The term.
    #[schemars(length(min = 1, max = 200))]
    pub term: String,
    /// What it means.
    #[schemars(length(min = 1, max = 5000))]
    pub definition: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
}

/// A category of prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptCategory {
    /// Unique among categories.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners; unique among categories, whatever the case.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What programs know it as.
    pub kind: PromptKind,
    /// Its colour, as `#rrggbb` in lower case.
    #[serde(default = "default_color")]
    #[schemars(with = "Color")]
    pub color: String,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Unique among prompts.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Slug of a prompt category in this document.
    #[schemars(with = "Slug")]
    pub category: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 5000))]
    pub description: String,
    /// The prompt itself.
    #[schemars(length(min = 1, max = 50_000))]
    pub body: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
    /// What to ask next, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub steps: Vec<PromptStep>,
}

/// A step of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptStep {
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The step itself.
    #[schemars(length(min = 1, max = 20_000))]
    pub body: String,
}

/// What family a style belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "style_category", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says itself")]
pub enum StyleCategory {
    Minimal,
    Editorial,
    Brutalist,
    Playful,
    Corporate,
    Retro,
    Futuristic,
    Organic,
}

/// What programs know a prompt category as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "prompt_category", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says itself")]
pub enum PromptKind {
    Planning,
    Research,
    Design,
    Frontend,
    Backend,
    Content,
    Debugging,
    Deployment,
}

fn default_color() -> String {
    DEFAULT_COLOR.to_owned()
}
