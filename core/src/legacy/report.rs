//! What became of every row.

use std::collections::BTreeMap;

use serde::Serialize;

/// A row that was not carried over, or not as it was.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The table there.
    pub table: String,
    /// Identifies the row there.
    pub id: String,
    /// Whether it was left out or changed.
    pub outcome: Outcome,
    /// Why it was left out, or what was changed.
    pub reason: String,
}

/// What became of a row that is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is not here.
    Skipped,
    /// It is here, with something changed.
    Changed,
}

/// The numbers of one table. `read` is the sum of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReport {
    /// The table there.
    pub table: String,
    /// The rows that it has.
    pub read: u64,
    /// Rows that were carried over now.
    pub mapped: u64,
    /// Rows that an earlier run has carried over.
    pub already_there: u64,
    /// Rows that say nothing that is not computed here.
    pub derived: u64,
    /// Rows that were not carried over.
    pub skipped: u64,
    /// How often rows were skipped or changed, by reason.
    pub reasons: BTreeMap<(Outcome, String), u64>,
}

impl TableReport {
    pub(super) fn new(table: &str) -> Self {
        Self { table: table.to_owned(), ..Self::default() }
    }

    /// Whether every row is accounted for.
    pub(super) fn is_complete(&self) -> bool {
        self.read == self.mapped + self.already_there + self.derived + self.skipped
    }
}

/// What became of all rows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The tables that were read, in their order.
    pub tables: Vec<TableReport>,
}

impl Report {
    /// The sum of a number over all tables.
    pub fn sum(&self, number: impl Fn(&TableReport) -> u64) -> u64 {
        self.tables.iter().map(number).sum()
    }

    /// Whether everything is here as it was there.
    pub fn loses_nothing(&self) -> bool {
        self.tables.iter().all(|table| table.skipped == 0 && table.reasons.is_empty())
    }
}
