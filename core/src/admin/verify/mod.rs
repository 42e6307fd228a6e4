//! Recomputes every derived value from scratch and reports where the stored value differs.
//!
//! The checks are set-based and read-only, so they can run on a live database. Each compares what it compares in one snapshot, and
//! none holds one for long: progress, addresses and the search index are compared in chunks. A report is therefore of the
//! time from its beginning to its end, and not of one moment. The expected progress comes from SQL of its own (`progress.sql`),
//! independent of the rollup, so that each of the two checks the other.

mod checks;
mod emails;
mod found;
mod report;
mod row;
mod search;
mod stats;

use sqlx::PgPool;

pub use self::emails::foreign_email_keys;
pub use self::report::{Difference, Finding, Kind, LISTED, Report};
use self::row::DifferenceRow;
use super::health::database_time;
use crate::{Result, db};

/// Whether jobs may be pending or running during the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The queues are empty, so every derived value must be up to date.
    Strict,
    /// Ignores differences that a pending job will resolve: learners and projects with markers, roadmaps that are being
    /// recomputed, and jobs that are not dead.
    WhileRunning,
}

/// Checks the whole database.
pub async fn verify(pool: &PgPool, mode: Mode) -> Result<Report> {
    let began_at = database_time(&mut *db::acquire(pool).await?).await?;
    let mut batches = checks::all(pool, mode == Mode::WhileRunning).await?;
    batches.push(emails::all(&mut *db::acquire(pool).await?).await?);
    batches.push(search::all(pool).await?);
    let mut findings: Vec<Finding> = Vec::new();
    for &kind in Kind::ALL {
        let mut finding = Finding { kind, total: 0, differences: Vec::new() };
        for batch in &batches {
            let mut of_kind = batch.iter().filter(|row| row.kind == kind).peekable();
            finding.total += of_kind.peek().map_or(0, |row| row.total);
            finding.differences.extend(of_kind.map(Difference::from));
        }
        finding.differences.truncate(LISTED);
        if finding.total > 0 {
            findings.push(finding);
        }
    }
    let ended_at = database_time(&mut *db::acquire(pool).await?).await?;
    Ok(Report { began_at, ended_at, findings })
}

impl From<&DifferenceRow> for Difference {
    fn from(row: &DifferenceRow) -> Self {
        Self {
            ids: row.ids.clone(),
            stored: row.stored.clone().unwrap_or_default(),
            expected: row.expected.clone().unwrap_or_default(),
        }
    }
}
