//! Recomputes every derived value from scratch and reports where the stored value differs.
//!
//! The check is set-based and read-only and runs in one snapshot, so it can run on a live database. The search index, which
//! would take too long for that, is compared in chunks. The expected progress comes from SQL of its own (`progress.sql`),
//! independent of the rollup, so that each of the two checks the other.

mod checks;
mod emails;
mod found;
mod report;
mod row;
mod search;
mod stats;

use sqlx::{Connection, PgPool};

pub use self::emails::foreign_email_keys;
pub use self::report::{Difference, Finding, Kind, LISTED, Report};
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
    let mut connection = db::acquire(pool).await?;
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    checks::plan_for_whole_tables(&mut snapshot).await?;
    let mut rows = checks::all(&mut snapshot, mode == Mode::WhileRunning).await?;
    rows.extend(stats::all(&mut snapshot).await?);
    snapshot.rollback().await?;
    drop(connection);
    rows.extend(emails::all(&mut *db::acquire(pool).await?).await?);
    rows.extend(search::all(pool).await?);
    let mut findings: Vec<Finding> = Vec::new();
    for &kind in Kind::ALL {
        let of_kind: Vec<_> = rows.iter().filter(|row| row.kind == kind).collect();
        let Some(first) = of_kind.first() else { continue };
        let total = first.total;
        let differences = of_kind
            .into_iter()
            .map(|row| Difference {
                ids: row.ids.clone(),
                stored: row.stored.clone().unwrap_or_default(),
                expected: row.expected.clone().unwrap_or_default(),
            })
            .collect();
        findings.push(Finding { kind, total, differences });
    }
    Ok(Report { findings })
}
