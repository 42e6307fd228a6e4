//! The types of a course document. Its JSON schema is derived from them and published as `docs/course.schema.json`, and
//! documents are checked against it, so each limit is written once. The limits equal the `CHECK` constraints of the tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::library::{Prompt, PromptCategory, Style, Term};
use super::values::{Publication, Slug, Url};

/// A course: modules of lessons, roadmaps that arrange the lessons, and libraries of styles, terms and prompts.
///
/// Objects are identified by their slugs. A document is self-contained: it contains everything that it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// The address of this schema, by which editors find it. It is not read.
    #[serde(rename = "$schema", default, skip_serializing)]
    #[schemars(length(max = 2000))]
    pub schema: Option<String>,
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The modules, in order. Each lesson belongs to one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub modules: Vec<Module>,
    /// The roadmaps, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub roadmaps: Vec<Roadmap>,
    /// The style cards, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub styles: Vec<Style>,
    /// The terms of the glossary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub glossary: Vec<Term>,
    /// The categories of prompts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub prompt_categories: Vec<PromptCategory>,
    /// The prompts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub prompts: Vec<Prompt>,
}

/// A module: a group of lessons.
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
    /// Whether learners can see it.
    #[serde(default)]
    pub publication: Publication,
    /// The lessons, in order.
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
    /// Whether learners can see it.
    #[serde(default)]
    pub publication: Publication,
    /// The expected duration, in minutes: at most 500 hours, because the units of some curricula take weeks.
    #[schemars(range(min = 1, max = 30_000))]
    pub duration_minutes: i32,
    /// How the lesson is completed: by the learner (`manual`), or by checking all required tasks (`tasks`). With `tasks`,
    /// at least one task must be required.
    #[serde(default)]
    pub completion: CompletionRule,
    /// The URL of a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Url>")]
    pub video_url: Option<String>,
    /// The text of the lesson, in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 100_000))]
    pub body: String,
    /// Questions that the lesson answers, as learners ask them, by which it is found. They are not shown to learners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30), inner(length(min = 1, max = 300)))]
    pub questions: Vec<String>,
    /// Further material, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub materials: Vec<Material>,
    /// The tasks for the learner, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub tasks: Vec<Task>,
}

/// Further material of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// The kind of material.
    pub kind: MaterialKind,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The URL of the material.
    #[schemars(with = "Url")]
    pub url: String,
}

/// A task of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Unique within the lesson. Checked tasks are remembered by it.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Further instructions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 5000))]
    pub description: String,
    /// Whether a lesson with the completion `tasks` needs this task to be checked.
    #[serde(default = "yes")]
    pub required: bool,
}

/// A roadmap: lessons arranged in stages.
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
    /// Whether a stage is locked until all earlier stages with required lessons are completed.
    #[serde(default)]
    pub sequential: bool,
    /// Whether learners can see it.
    #[serde(default)]
    pub publication: Publication,
    /// The stages, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub stages: Vec<Stage>,
}

/// A stage of a roadmap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Unique within the roadmap.
    #[schemars(with = "Slug")]
    pub slug: String,
    /// Shown to learners.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub summary: String,
    /// Whether learners can see it.
    #[serde(default)]
    pub publication: Publication,
    /// The lessons, in order. A lesson can occur once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub lessons: Vec<StageLesson>,
}

/// A lesson in a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageLesson {
    /// The slug of a lesson in this document.
    #[schemars(with = "Slug")]
    pub lesson: String,
    /// Whether the lesson must be completed to complete the stage.
    #[serde(default = "yes")]
    pub required: bool,
}

/// How a lesson is completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "completion_rule", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum CompletionRule {
    #[default]
    Manual,
    Tasks,
}

/// The kind of a material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "material_kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
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
    // The title and description come first, for people who open the file.
    let mut ordered = serde_json::Map::new();
    for key in ["$schema", "title", "description"] {
        ordered.extend(schema.remove(key).map(|value| (key.to_owned(), value)));
    }
    ordered.append(schema);
    ordered.into()
}
