//! What every query of a check returns.

use serde_json::Value;

use super::report::Kind;

/// A row of a query.
pub(super) struct DifferenceRow {
    pub(super) kind: Kind,
    pub(super) ids: Value,
    pub(super) stored: Option<Value>,
    pub(super) expected: Option<Value>,
    pub(super) total: i64,
}
