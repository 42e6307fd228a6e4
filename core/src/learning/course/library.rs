//! The libraries in a course document: styles, glossary and prompts.

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
    /// The category.
    pub category: StyleCategory,
    /// When to use the style.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 5000))]
    pub description: String,
    /// The prompt that asks an assistant for this style.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 20_000))]
    pub prompt: String,
    /// Tags for searching and filtering.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// The URL of a preview image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Url>")]
    pub preview_url: Option<String>,
    /// Whether learners can see it.
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
    /// The category of the term. Terms of the same category have the same text here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Slug>")]
    pub category: Option<String>,
    /// The definition.
    #[schemars(length(min = 1, max = 5000))]
    pub definition: String,
    /// Tags for searching and filtering.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// Whether learners can see it.
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
    /// Shown to learners. Unique among categories, ignoring case.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The kind, for programs.
    pub kind: PromptKind,
    /// The colour, as `#rrggbb` in lower case.
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
    /// The slug of a prompt category in this document.
    #[schemars(with = "Slug")]
    pub category: String,
    /// The purpose of the prompt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 5000))]
    pub description: String,
    /// The text of the prompt.
    #[schemars(length(min = 1, max = 50_000))]
    pub body: String,
    /// Tags for searching and filtering.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// Whether learners can see it.
    #[serde(default)]
    pub publication: Publication,
    /// Follow-up prompts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub steps: Vec<PromptStep>,
}

/// A follow-up prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptStep {
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The text of the step.
    #[schemars(length(min = 1, max = 20_000))]
    pub body: String,
}

/// The category of a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "style_category", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
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

/// The kind of a prompt category, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "prompt_category", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
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
