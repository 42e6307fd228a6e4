//! The platform that Cairn replaces: carries the contents of its database over, and says beforehand what that would leave out.
//!
//! ```text
//! old database ── one snapshot, a table after the other ──▶ Row ──▶ Verdict ──▶ rows here + legacy_ids, a transaction per chunk
//! ```
//!
//! What becomes of a row is decided without writing anything (`people`, `content`, …), so that a dry run and the check decide as
//! the import does. Each row that was mapped is named in `legacy_ids`, in the transaction that inserts it: an import can be
//! stopped at any moment and run again, and what is there is not touched. Every row of every table is accounted for: the report
//! counts those that were read, and each of them was mapped, was there, says nothing, or was skipped for a reason that is named.

mod chats;
mod check;
mod clean;
mod community;
mod content;
mod finish;
mod library;
mod people;
mod plan;
mod progress;
mod report;
mod roadmaps;
mod row;
mod shape;
mod source;
mod state;
mod target;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

pub use self::check::{Loss, check, times_without_zone};
use self::plan::{Plan, Verdict};
pub use self::report::{Entry, Outcome, Report, TableReport};
use self::row::Row;
pub use self::shape::{Column, Kind, Table, table_named, tables, why_not};
pub use self::source::{Source, SourceColumn, SourceTable};
use self::state::State;
use crate::clock::Clock;
use crate::db::{Db, Tx, connect};
use crate::{Error, Result, hosts};

/// What is told of each row that was skipped or changed, as soon as it was.
pub type Listener<'a> = &'a mut (dyn FnMut(&Entry) + Send);

/// Lets one import at a time write, while it is not dropped: each relies on what it knew when it began.
pub struct Lock {
    _session: PgConnection,
}

/// How long the session of an import that was killed may still have the lock: the server looks for its client every second.
const LOCK_WAIT: Duration = Duration::from_secs(4);

/// Takes the lock; `None` if another import has it.
pub async fn lock(db: &Db) -> Result<Option<Lock>> {
    let mut session = connect(&hosts::writable(&db.direct_options()).await).await?;
    let query = "SELECT pg_try_advisory_lock(hashtextextended('cairn import-legacy', 0))";
    let until = Instant::now() + LOCK_WAIT;
    loop {
        let is_ours: bool = sqlx::query_scalar(query).fetch_one(&mut session).await?;
        if is_ours || Instant::now() > until {
            return Ok(is_ours.then_some(Lock { _session: session }));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Carries everything over that is not there yet, and brings what is computed up to date.
pub async fn import(db: &Db, _lock: &Lock, source: &mut Source, listener: Listener<'_>) -> Result<Report> {
    let mut state = State::load(&mut *db.acquire().await?, db.clock().now()).await?;
    let report = run(Writer::Database(db), source, &mut state, listener).await?;
    finish::finish(db).await?;
    Ok(report)
}

/// What [`import`] would do, without writing anything.
pub async fn dry_run(db: &Db, source: &mut Source, listener: Listener<'_>) -> Result<Report> {
    let mut state = State::load(&mut *db.acquire().await?, db.clock().now()).await?;
    run(Writer::DryRun(db), source, &mut state, listener).await
}

/// What [`import`] would do with an empty database here.
pub async fn dry_run_alone(source: &mut Source, listener: Listener<'_>) -> Result<Report> {
    run(Writer::Nothing, source, &mut State::new(Clock::default().now()), listener).await
}

/// Where what was decided goes.
#[derive(Clone, Copy)]
enum Writer<'a> {
    Database(&'a Db),
    /// Nowhere, but what is there counts as there.
    DryRun(&'a Db),
    Nothing,
}

/// A row, its key, and what becomes of it.
struct Decided {
    key: String,
    verdict: Verdict,
    is_there: bool,
    /// Whether the rules of the table decided, which may decide otherwise without a row that came before.
    is_by_rules: bool,
}

async fn run(writer: Writer<'_>, source: &mut Source, state: &mut State, listener: Listener<'_>) -> Result<Report> {
    let mut report = Report::default();
    let known = tables().filter_map(|table| source.table(table.name).cloned());
    let others = source.tables().iter().filter(|table| table_named(&table.name).is_none()).cloned();
    let all: Vec<SourceTable> = known.chain(others).collect();
    for table in &all {
        let known = table_named(&table.name);
        let rows = source.start(table, known).await?;
        let mut numbers = TableReport::new(&table.name);
        let mut seen = HashSet::new();
        loop {
            let chunk = source.next().await?;
            if chunk.is_empty() {
                break;
            }
            let decided = import_chunk(writer, table, known, chunk, &mut seen, state).await?;
            for row in &decided {
                count(&mut numbers, row, listener);
            }
        }
        if numbers.read != rows || !numbers.is_complete() {
            return Err(Error::message(format!("{}: {rows} rows, but {numbers:?}", table.name)));
        }
        report.tables.push(numbers);
    }
    Ok(report)
}

/// Counts a row, and tells of it if it is not what it was.
fn count(numbers: &mut TableReport, row: &Decided, listener: &mut (dyn FnMut(&Entry) + Send)) {
    let mut tell = |outcome, reason: &str, reasons: &mut BTreeMap<(Outcome, String), u64>| {
        *reasons.entry((outcome, reason.to_owned())).or_default() += 1;
        listener(&Entry { table: numbers.table.clone(), id: row.key.clone(), outcome, reason: reason.to_owned() });
    };
    numbers.read += 1;
    match &row.verdict {
        _ if row.is_there => numbers.already_there += 1,
        Verdict::Map(plan) => {
            numbers.mapped += 1;
            for note in &plan.notes {
                tell(Outcome::Changed, note, &mut numbers.reasons);
            }
        }
        Verdict::Derived => numbers.derived += 1,
        Verdict::Skip(reason) => {
            numbers.skipped += 1;
            tell(Outcome::Skipped, reason, &mut numbers.reasons);
        }
    }
}

async fn import_chunk(
    writer: Writer<'_>,
    table: &SourceTable,
    known: Option<&'static Table>,
    rows: Vec<Row>,
    seen: &mut HashSet<String>,
    state: &mut State,
) -> Result<Vec<Decided>> {
    let keys: Vec<String> = rows.iter().map(Row::key).collect();
    let Some(known) = known else {
        let reason = why_not(&table.name);
        let skipped = |key| Decided { key, verdict: Verdict::skip(reason), is_there: false, is_by_rules: false };
        return Ok(keys.into_iter().map(skipped).collect());
    };
    let decided = match writer {
        Writer::Database(db) => {
            let mut tx = db.begin().await?;
            let there = already_there(&mut tx, known.name, &keys).await?;
            let mark = state.mark();
            let mut decided = decide(known, &rows, keys, &there, seen, state);
            match write(&mut tx, known.name, &decided).await {
                Ok(0) => tx.rollback().await?,
                Ok(_) => tx.commit().await?,
                Err(error) if error.violated_constraint().is_none() => return Err(error),
                Err(_) => {
                    // Something that the rules here refuse: each row by itself, so that only that row is left out.
                    tx.rollback().await?;
                    state.undo(mark);
                    write_each(db, known, &rows, &mut decided, state).await?;
                }
            }
            decided
        }
        Writer::DryRun(db) => {
            let there = already_there(&mut *db.acquire().await?, known.name, &keys).await?;
            decide(known, &rows, keys, &there, seen, state)
        }
        Writer::Nothing => decide(known, &rows, keys, &HashSet::new(), seen, state),
    };
    state.settle();
    Ok(decided)
}

/// Which of the rows were mapped before.
async fn already_there(connection: &mut PgConnection, kind: &str, keys: &[String]) -> Result<HashSet<String>> {
    let rows =
        sqlx::query_scalar!("SELECT legacy_id FROM legacy_ids WHERE kind = $1 AND legacy_id = ANY ($2)", kind, keys);
    Ok(rows.fetch_all(connection).await?.into_iter().collect())
}

/// Decides what becomes of rows. `seen` has the keys of the rows of this table that came before, and those of an earlier run do not
/// count: so every run skips the same repetitions.
fn decide(
    table: &'static Table,
    rows: &[Row],
    keys: Vec<String>,
    there: &HashSet<String>,
    seen: &mut HashSet<String>,
    state: &mut State,
) -> Vec<Decided> {
    let mut decided = Vec::with_capacity(rows.len());
    for (row, key) in rows.iter().zip(keys) {
        // A row that cannot be read does not hide one with the same id that can.
        let is_repeated = row.fault().is_none() && !seen.insert(key.clone());
        let is_there = row.fault().is_none() && !is_repeated && there.contains(&key);
        let verdict = if let Some(fault) = row.fault() {
            Verdict::skip(fault)
        } else if is_repeated {
            Verdict::skip("another row has the same id")
        } else if is_there {
            Verdict::Derived
        } else {
            decide_by_rules(table, row, &key, state)
        };
        let is_by_rules = row.fault().is_none() && !is_repeated && !is_there;
        decided.push(Decided { key, verdict, is_there, is_by_rules });
    }
    decided
}

/// What the rules of the table decide. What is mapped is remembered, and of a row that is not mapped nothing is.
fn decide_by_rules(table: &'static Table, row: &Row, key: &str, state: &mut State) -> Verdict {
    let mark = state.mark();
    let verdict = (table.map)(row, state);
    if let Verdict::Map(plan) = &verdict {
        state.remember(table.name, key, plan.id);
        for (kind, legacy_id, id) in &plan.also {
            state.remember(kind, legacy_id, *id);
        }
    } else {
        state.undo(mark);
    }
    verdict
}

/// Inserts what was decided, and names it. Returns how many rows that were.
async fn write(tx: &mut Tx, kind: &str, decided: &[Decided]) -> Result<usize> {
    let mapped = decided.iter().filter_map(|row| match &row.verdict {
        Verdict::Map(plan) => Some((row.key.as_str(), plan)),
        Verdict::Derived | Verdict::Skip(_) => None,
    });
    let mapped: Vec<(&str, &Plan)> = mapped.collect();
    if mapped.is_empty() {
        return Ok(0);
    }
    let plans: Vec<&Plan> = mapped.iter().map(|(_, plan)| *plan).collect();
    target::insert(tx, &plans).await?;
    let (mut kinds, mut keys, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (key, plan) in mapped {
        let own = (kind, key, plan.id);
        let also = plan.also.iter().map(|(kind, key, id)| (*kind, key.as_str(), *id));
        for (kind, key, id) in std::iter::once(own).chain(also) {
            kinds.push(kind.to_owned());
            keys.push(key.to_owned());
            ids.push(id);
        }
    }
    sqlx::query!(
        "INSERT INTO legacy_ids (kind, legacy_id, id) SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[])",
        &kinds,
        &keys,
        &ids
    )
    .execute(&mut **tx)
    .await?;
    Ok(plans.len())
}

/// Writes each row in a transaction of its own. One that a constraint refuses is skipped, and nothing of it is remembered, so each is
/// decided when those before it are written. Any other failure ends the import.
async fn write_each(
    db: &Db,
    table: &'static Table,
    rows: &[Row],
    decided: &mut [Decided],
    state: &mut State,
) -> Result<()> {
    for (row, decision) in rows.iter().zip(decided) {
        if !decision.is_by_rules {
            continue;
        }
        let mark = state.mark();
        decision.verdict = decide_by_rules(table, row, &decision.key, state);
        let Verdict::Map(_) = &decision.verdict else { continue };
        let mut tx = db.begin().await?;
        let Err(error) = write(&mut tx, table.name, std::slice::from_ref(decision)).await else {
            tx.commit().await?;
            continue;
        };
        let Some(constraint) = error.violated_constraint() else { return Err(error) };
        let reason = format!("the rules here refuse the row ({constraint})");
        tx.rollback().await?;
        state.undo(mark);
        decision.verdict = Verdict::Skip(reason);
    }
    Ok(())
}
