//! The differences that a check in chunks finds.

use serde_json::Value;

use super::report::{Kind, LISTED};
use super::row::DifferenceRow;

/// The differences of all chunks. All are counted, and the first are kept.
pub(super) struct Found {
    kind: Kind,
    total: usize,
    rows: Vec<DifferenceRow>,
}

impl Found {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, total: 0, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, ids: Vec<Value>, stored: Vec<Value>, expected: Vec<Value>) {
        self.total += ids.len();
        let room = LISTED.saturating_sub(self.rows.len());
        let differences = ids.into_iter().zip(stored).zip(expected).take(room);
        self.rows.extend(differences.map(|((ids, stored), expected)| DifferenceRow {
            kind: self.kind,
            ids,
            stored: Some(stored),
            expected: Some(expected),
            total: 0,
        }));
    }

    pub(super) fn into_rows(mut self) -> Vec<DifferenceRow> {
        let total = i64::try_from(self.total).unwrap_or(i64::MAX);
        for row in &mut self.rows {
            row.total = total;
        }
        self.rows
    }
}
