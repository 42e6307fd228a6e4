//! Records every change of a job in the database under test, and compares the record with the model of the queue.

use std::collections::BTreeMap;

use cairn_model::row::{Row, Status};
use cairn_model::trace::{Recorded, Step, explain};
use sqlx::{PgConnection, PgPool};

use crate::count::Report;

/// A trigger is no part of the platform's schema: it exists in the database of this run only.
const RECORD: &str = "
    CREATE SCHEMA chaos;
    CREATE TABLE chaos.changes (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL,
        before text[],
        after text[]
    );
    CREATE FUNCTION chaos.as_recorded(job apalis.jobs) RETURNS text[] LANGUAGE sql AS $$
        SELECT ARRAY[job.status, job.attempts::text, job.max_attempts::text, job.lock_by,
                     CASE WHEN job.lock_by IS NOT NULL THEN job.lock_at::text END]
    $$;
    CREATE FUNCTION chaos.record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO chaos.changes (id, before, after) VALUES (
            coalesce(new.id, old.id),
            CASE WHEN tg_op <> 'INSERT' THEN chaos.as_recorded(old) END,
            CASE WHEN tg_op <> 'DELETE' THEN chaos.as_recorded(new) END);
        RETURN NULL;
    END;
    $$;
    CREATE TRIGGER chaos_record AFTER INSERT OR UPDATE OR DELETE ON apalis.jobs
        FOR EACH ROW EXECUTE FUNCTION chaos.record();
";

/// Begins to record, as a superuser.
pub(crate) async fn record(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::raw_sql(RECORD).execute(connection).await?;
    Ok(())
}

/// A row as it was recorded: status, attempts, most attempts, worker and time of the claim.
type Columns = Vec<Option<String>>;

/// Reports every change that no statement of the protocol makes.
pub(crate) async fn check(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let changes: Vec<(String, Option<Columns>, Option<Columns>)> =
        sqlx::query_as("SELECT id, before, after FROM chaos.changes ORDER BY id, seq").fetch_all(pool).await?;
    let mut steps: BTreeMap<Step, usize> = BTreeMap::new();
    let mut last: (&str, Option<&Columns>) = ("", None);
    for (id, before, after) in &changes {
        let earlier = if last.0 == id { last.1 } else { None };
        last = (id, after.as_ref());
        let step = explain(before.as_ref().and_then(row).as_ref(), after.as_ref().and_then(row).as_ref());
        match step {
            Some(step) if before.as_ref() == earlier => *steps.entry(step).or_default() += 1,
            _ => report.wrong.push(format!("job {id} went from {earlier:?} and {before:?} to {after:?}")),
        }
    }
    report.changes = changes.len();
    report.steps = steps.into_iter().map(|(step, times)| (format!("{step:?}"), times)).collect();
    Ok(())
}

fn row(columns: &Columns) -> Option<Recorded> {
    let text = |n: usize| columns.get(n)?.clone();
    let status = match text(0)?.as_str() {
        "Pending" => Status::Pending,
        "Running" => Status::Running,
        "Failed" => Status::Failed,
        "Done" => Status::Done,
        "Killed" => Status::Dead,
        _ => return None,
    };
    let (attempts, max_attempts) = (text(1)?.parse().ok()?, text(2)?.parse().ok()?);
    Some(Row { status, attempts, max_attempts, lease: text(3).zip(text(4)) })
}
