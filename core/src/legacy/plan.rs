//! What becomes of a row: the decision, before anything is written.

use serde_json::Value;
use strum::EnumIter;
use uuid::Uuid;

/// A table here that rows are inserted into. In this order, because a row must come after those it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter)]
pub(super) enum Target {
    Users,
    Modules,
    Lessons,
    Materials,
    Tasks,
    Roadmaps,
    Stages,
    StageLessons,
    Categories,
    Prompts,
    PromptSteps,
    Styles,
    Glossary,
    Projects,
    Facts,
    CheckedTasks,
    Favorites,
    Likes,
    Chats,
    Messages,
    Settings,
}

/// What a row becomes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Identifies the row here.
    pub(super) id: Uuid,
    /// The rows to insert, each an object with all columns.
    pub(super) records: Vec<(Target, Value)>,
    /// Names that other rows will look up besides this row's own: kind, legacy id, id.
    pub(super) also: Vec<(&'static str, String, Uuid)>,
    /// What was changed so that the row fits.
    pub(super) notes: Vec<String>,
}

impl Plan {
    pub(super) fn new(id: Uuid) -> Self {
        Self { id, ..Self::default() }
    }

    /// Adds a row to insert.
    pub(super) fn insert(&mut self, target: Target, record: Value) {
        self.records.push((target, record));
    }

    /// Adds a name that other rows will look up.
    pub(super) fn name(&mut self, kind: &'static str, legacy_id: &str, id: Uuid) {
        self.also.push((kind, legacy_id.to_owned(), id));
    }
}

/// What becomes of a row.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is inserted.
    Map(Plan),
    /// It says nothing that is not computed here anyway.
    Derived,
    /// It is not carried over, and why.
    Skip(String),
}

impl Verdict {
    /// A row that is not carried over.
    pub(super) fn skip(reason: impl Into<String>) -> Self {
        Self::Skip(reason.into())
    }
}

impl From<Result<Plan, String>> for Verdict {
    fn from(result: Result<Plan, String>) -> Self {
        result.map_or_else(Self::Skip, Self::Map)
    }
}
