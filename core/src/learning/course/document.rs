//! The shape of a course document. Its JSON schema is derived from these types, published as `docs/course.schema.json`,
//! and is what documents are checked against: each limit stands here once. The limits are those of the tables' CHECKs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::library::{Prompt, PromptCategory, Style, Term};
use super::values::{Publication, Slug, Url};

/// A course: lessons in modules, roadmaps through them, and the libraries beside them.
///
/// Everything is known by its slug. A document stands for itself: what it refers to, it also contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Homes of the lessons, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub modules: Vec<Module>,
    /// Ways through the lessons, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub roadmaps: Vec<Roadmap>,
    /// Style cards, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub styles: Vec<Style>,
    /// Glossary terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub glossary: Vec<Term>,
    /// Categories of prompts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub prompt_categories: Vec<PromptCategory>,
    /// Prompts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub prompts: Vec<Prompt>,
}

/// A module: the home of lessons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Unique among modules.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub summary: String,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
    /// Its lessons, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub lessons: Vec<Lesson>,
}

/// A lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// Unique among all lessons of all modules.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What it is about; shown even while the lesson is locked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub summary: String,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
    /// How long it takes, in minutes.
    #[schemars(range(min = 1, max = 600))]
    pub duration_minutes: i32,
    /// How it is completed: by the learner (`manual`), or by its required tasks (`tasks`), of which it then needs one.
    #[serde(default)]
    pub completion: CompletionRule,
    /// A video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Url>")]
    pub video_url: Option<String>,
    /// The lesson itself, in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 100_000))]
    pub body: String,
    /// Further material, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub materials: Vec<Material>,
    /// What the learner does, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub tasks: Vec<Task>,
}

/// Further material of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// What it is.
    pub kind: MaterialKind,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Where it is.
    #[schemars(with = "Url")]
    pub url: String,
}

/// A task of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Unique in its lesson. Learners' ticks belong to it.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Anything more to say about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 5000))]
    pub description: String,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub required: bool,
}

/// A way through lessons, in stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roadmap {
    /// Unique among roadmaps.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub summary: String,
    /// Whether a stage opens only when every earlier one that counts is completed.
    #[serde(default)]
    pub sequential: bool,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
    /// Its stages, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub stages: Vec<Stage>,
}

/// A stage of a roadmap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Unique in its roadmap.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub summary: String,
    /// Whether learners see it.
    #[serde(default)]
    pub publication: Publication,
    /// Its lessons, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub lessons: Vec<StageLesson>,
}

/// A lesson's place in a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageLesson {
    /// Slug of a lesson in this document.
    #[schemars(with = "Slug")]
    pub lesson: String,
    /// Whether it counts for the stage.
    #[serde(default = "yes")]
    pub required: bool,
}

/// How a lesson is completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "completion_rule", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says itself")]
pub enum CompletionRule {
    #[default]
    Manual,
    Tasks,
}

/// What a material is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "material_kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says itself")]
pub enum MaterialKind {
    Link,
    Video,
    File,
    Document,
}

fn yes() -> bool {
    true
}

/// The JSON schema of course documents (draft 2020-12).
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Course);
    let schema = schema.ensure_object();
    // What it is comes first, for those who open the file.
    let mut ordered = serde_json::Map::new();
    for key in ["$schema", "title", "description"] {
        ordered.extend(schema.remove(key).map(|value| (key.to_owned(), value)));
    }
    ordered.append(schema);
    ordered.into()
}
