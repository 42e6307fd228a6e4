//! `cairn doctor`: says what is wrong and what to do about it.

use std::path::Path;
use std::time::Duration;

use cairn_core::admin::{health, verify};
use cairn_core::clock::Clock;
use cairn_core::config::Config;
use cairn_core::db::connect_options;
use cairn_core::hosts;
use cairn_core::queue::queues::{self, QueueState};
use cairn_core::tools::Reason;
use cairn_worker::providers::Provider;
use chrono::TimeDelta;
use sqlx::{ConnectOptions, PgConnection};

use crate::database::{Database, Sharing};
use crate::failure::Failure;
use crate::output::print_line;

/// How far the clocks may differ, in milliseconds.
const SKEW_LIMIT: i64 = 2000;
/// How long a due job may have been waiting, in seconds.
const WAIT_LIMIT: f64 = 60.0;
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

enum Verdict {
    Good(String),
    /// Worth knowing, but not a failure.
    Note(String),
    Bad(String),
}
use Verdict::{Bad, Good, Note};

#[derive(Default)]
struct Report {
    failed: bool,
}

impl Report {
    fn add(&mut self, what: &str, verdict: &Verdict) -> Result<(), Failure> {
        let (mark, text) = match verdict {
            Good(text) => ("ok  ", text),
            Note(text) => ("note", text),
            Bad(text) => ("FAIL", text),
        };
        self.failed |= matches!(verdict, Bad(_));
        print_line(&format!("{mark}  {what:<10}  {}", text.replace(['\n', '\r'], " ")))
    }
}

pub(crate) async fn run(data_dir: &Path) -> Result<(), Failure> {
    let mut report = Report::default();
    let config = match Config::load() {
        Ok(config) => config,
        Err(error) => {
            report.add("config", &Bad(error.to_string()))?;
            return Err(Failure::AlreadyReported);
        }
    };
    report.add("config", &configuration(&config))?;
    report.add("ai", &provider(&config).await)?;
    match Database::open(&config, data_dir, Sharing::Shared).await {
        Ok(database) => {
            examine(&mut report, &database).await?;
            database.close().await?;
        }
        Err(Failure::Setup(message) | Failure::Failed(message)) => report.add("database", &Bad(message))?,
        Err(failure) => return Err(failure),
    }
    if report.failed { Err(Failure::AlreadyReported) } else { Ok(()) }
}

fn configuration(config: &Config) -> Verdict {
    match (&config.database_url, &config.jwt_secret) {
        (None, _) => Good("DATABASE_URL is not set: the embedded database of `cairn dev` is used".to_owned()),
        (Some(_), None) => Note(
            "CAIRN_JWT_SECRET is not set: cairn-api will not start; generate one with `openssl rand -base64 48`"
                .to_owned(),
        ),
        (Some(_), Some(_)) => Good("DATABASE_URL and CAIRN_JWT_SECRET are set".to_owned()),
    }
}

/// Whether the provider of AI answers can be used. Makes no request that costs anything.
async fn provider(config: &Config) -> Verdict {
    let Some(ai) = &config.ai else {
        return Good("CAIRN_AI_BASE_URL is not set: the built-in provider answers by searching the content".to_owned());
    };
    let provider = match Provider::from_config(config) {
        Ok(provider) => provider,
        Err(error) => return Bad(error.to_string()),
    };
    let (name, model) = (provider.name(), &ai.model);
    match provider.check().await {
        Ok(Some(true)) => Good(format!("{name} answers and offers {model}")),
        Ok(Some(false)) => {
            Note(format!("{name} answers but does not list {model}: correct CAIRN_AI_MODEL if it is wrong"))
        }
        Ok(None) => Note(format!("{name} answers but lists no models, so {model} could not be checked")),
        Err(failure) => {
            let fix = match failure.reason {
                Reason::Unreachable => "start it, or correct CAIRN_AI_BASE_URL",
                Reason::Unauthorized => "correct CAIRN_AI_API_KEY",
                Reason::ProviderQuota => "its account has no credit left",
                _ => "replies will wait until it works again",
            };
            Bad(format!("{name} cannot be used ({}: {}): {fix}", failure.reason.code(), failure.detail))
        }
    }
}

async fn examine(report: &mut Report, database: &Database) -> Result<(), Failure> {
    let Some(mut connection) = connect(report, database).await? else { return Ok(()) };
    let up_to_date = match database.migrations().await {
        Ok(state) if state.pending == 0 => Good(format!("all {} migrations are applied", state.applied)),
        Ok(state) => Bad(format!("{} migrations are pending: run `cairn migrate`", state.pending)),
        Err(Failure::Setup(message) | Failure::Failed(message)) => Bad(message),
        Err(failure) => return Err(failure),
    };
    report.add("role", &role(&mut connection).await)?;
    report.add("migrations", &up_to_date)?;
    report.add("clock", &clock(&mut connection).await)?;
    if matches!(up_to_date, Good(_)) {
        report.add("addresses", &addresses(&mut connection).await)?;
        match queues::overview(&mut connection).await {
            Ok(queues) => {
                report.add("jobs", &jobs(&queues))?;
                report.add("dead", &dead(&queues))?;
                report.add("paused", &paused(&queues))?;
                report.add("workers", &workers(&queues))?;
            }
            Err(error) => report.add("jobs", &Bad(error.to_string()))?,
        }
    }
    Ok(())
}

async fn connect(report: &mut Report, database: &Database) -> Result<Option<PgConnection>, Failure> {
    let mut last = None;
    for (what, url) in [("database", database.url()), ("direct", database.direct_url())] {
        let options = hosts::writable(&connect_options(url.expose())?).await;
        let place = format!("{}:{}", options.get_host(), options.get_port());
        let fix = if what == "direct" { "correct DATABASE_DIRECT_URL" } else { "start it, or correct DATABASE_URL" };
        let verdict = match tokio::time::timeout(CONNECT_LIMIT, options.connect()).await {
            Ok(Ok(connection)) => {
                last = Some(connection);
                Good(format!("{place} answers"))
            }
            Ok(Err(error)) => Bad(format!("{place} cannot be used ({error}): {fix}")),
            Err(_) => Bad(format!("{place} does not answer within {CONNECT_LIMIT:?}: {fix}")),
        };
        report.add(what, &verdict)?;
        if matches!(verdict, Bad(_)) {
            return Ok(None);
        }
    }
    Ok(last)
}

/// Whether the keys by which email addresses are compared are those that this program computes.
async fn addresses(connection: &mut PgConnection) -> Verdict {
    match verify::foreign_email_keys(connection).await {
        Ok(0) => Good("every email address has the key that this program looks it up by".to_owned()),
        Ok(count) => Bad(format!(
            "{count} accounts cannot sign in, because their email address is stored with another key: `cairn verify` names \
             them; save their addresses again, or give them others"
        )),
        Err(error) => Bad(error.to_string()),
    }
}

/// Whether the role of the programs may do more than it has to. The embedded database has its own.
async fn role(connection: &mut PgConnection) -> Verdict {
    let role = match health::role(connection).await {
        Ok(role) => role,
        Err(error) => return Bad(error.to_string()),
    };
    let too_much = match (role.is_superuser, role.owns_schema) {
        (true, _) => "is a superuser",
        (false, true) => "owns the tables, so it can change the schema",
        (false, false) => return Good(format!("{} reads and writes rows and nothing else", role.name)),
    };
    Note(format!("{} {too_much}: give the programs a role of their own with `cairn migrate --roles`", role.name))
}

async fn clock(connection: &mut PgConnection) -> Verdict {
    let clock = Clock::default();
    let before = clock.now();
    let theirs = match health::database_time(connection).await {
        Ok(time) => time,
        Err(error) => return Bad(error.to_string()),
    };
    let after = clock.now();
    // The database read its clock somewhere in between.
    let skew = if theirs < before {
        before - theirs
    } else if theirs > after {
        theirs - after
    } else {
        TimeDelta::zero()
    };
    match skew.num_milliseconds() {
        ms if ms > SKEW_LIMIT => Bad(format!("{ms} ms off the database's clock: set up NTP on both machines")),
        ms => Good(format!("{ms} ms off the database's clock")),
    }
}

/// Whether due jobs have been waiting for too long. Those of a paused queue do not count.
fn jobs(queues: &[QueueState]) -> Verdict {
    let late = |queue: &&QueueState| queue.oldest_due_seconds.is_some_and(|seconds| seconds > WAIT_LIMIT);
    let late = named(queues.iter().filter(|queue| queue.paused_at.is_none()).filter(late), |queue| {
        let seconds = queue.oldest_due_seconds.unwrap_or_default();
        format!("{} in {}, the oldest for {seconds:.0} s", queue.due, queue.name)
    });
    let unfinished: i64 = queues.iter().map(|q| q.due + q.scheduled + q.retrying + q.running).sum();
    match late {
        Some(late) => Bad(format!("due jobs are waiting: {late}: start cairn-worker, or more instances of it")),
        None => Good(format!("{unfinished} unfinished, none late")),
    }
}

fn dead(queues: &[QueueState]) -> Verdict {
    match named(queues.iter().filter(|q| q.dead > 0), |queue| format!("{} in {}", queue.dead, queue.name)) {
        Some(dead) => Note(format!("{dead}: see `cairn jobs list --state dead`, then retry or discard them")),
        None => Good("no job is dead".to_owned()),
    }
}

fn paused(queues: &[QueueState]) -> Verdict {
    match named(queues.iter().filter(|q| q.paused_at.is_some()), |queue| queue.name.clone()) {
        Some(paused) => Note(format!("{paused}: run `cairn jobs resume QUEUE` to continue")),
        None => Good("no queue is paused".to_owned()),
    }
}

/// Whether every queue that has due jobs has a worker.
fn workers(queues: &[QueueState]) -> Verdict {
    let without_worker = || queues.iter().filter(|queue| queue.workers == 0);
    let abandoned = named(without_worker().filter(|q| q.due > 0 && q.paused_at.is_none()), |queue| queue.name.clone());
    if let Some(abandoned) = abandoned {
        return Bad(format!(
            "no worker for {abandoned}, and jobs are due: start cairn-worker, and check CAIRN_WORKER_QUEUES"
        ));
    }
    match named(without_worker(), |queue| queue.name.clone()) {
        Some(_) if queues.iter().all(|queue| queue.workers == 0) => {
            Note("no worker has sent a heartbeat for 15 s: start cairn-worker or `cairn dev`".to_owned())
        }
        Some(idle) => Note(format!("no worker for {idle}: start cairn-worker, and check CAIRN_WORKER_QUEUES")),
        None => Good("every queue has a worker".to_owned()),
    }
}

/// Describes the queues on one line; `None` if there are none.
fn named<'a>(queues: impl Iterator<Item = &'a QueueState>, describe: impl Fn(&QueueState) -> String) -> Option<String> {
    let described: Vec<String> = queues.map(describe).collect();
    if described.is_empty() { None } else { Some(described.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A healthy, busy queue.
    fn queue(name: &str) -> QueueState {
        QueueState {
            name: name.to_owned(),
            due: 3,
            oldest_due_seconds: Some(2.0),
            scheduled: 0,
            retrying: 1,
            running: 1,
            dead: 0,
            done_last_minute: 0,
            done_last_hour: 0,
            failed_last_hour: 0,
            workers: 1,
            paused_at: None,
            paused_by: None,
        }
    }

    fn says(verdict: &Verdict, all: &[&str]) -> bool {
        let (Good(text) | Note(text) | Bad(text)) = verdict;
        all.iter().all(|part| text.contains(part))
    }

    #[test]
    fn healthy_queues_pass() {
        let queues = [queue("likes"), queue("replies")];
        for verdict in [jobs(&queues), dead(&queues), paused(&queues), workers(&queues)] {
            assert!(matches!(verdict, Good(_)));
        }
    }

    #[test]
    fn late_jobs_fail_unless_their_queue_is_paused() {
        let late = QueueState { oldest_due_seconds: Some(61.0), ..queue("likes") };
        let verdict = jobs(&[late.clone(), queue("replies")]);
        assert!(matches!(verdict, Bad(_)) && says(&verdict, &["3 in likes", "61 s", "start cairn-worker"]));
        let waits = QueueState { paused_at: Some(chrono::DateTime::UNIX_EPOCH), workers: 0, ..late };
        assert!(matches!(jobs(std::slice::from_ref(&waits)), Good(_)));
        let verdict = paused(&[queue("replies"), waits]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["likes", "cairn jobs resume"]));
    }

    #[test]
    fn dead_jobs_are_noted() {
        let verdict = dead(&[queue("replies"), QueueState { dead: 2, ..queue("likes") }]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["2 in likes", "cairn jobs list --state dead"]));
    }

    #[test]
    fn a_queue_without_a_worker_fails_once_it_has_due_jobs() {
        let alone = QueueState { workers: 0, ..queue("likes") };
        let verdict = workers(&[queue("replies"), alone.clone()]);
        assert!(matches!(verdict, Bad(_)) && says(&verdict, &["no worker for likes", "CAIRN_WORKER_QUEUES"]));
        let empty = QueueState { due: 0, oldest_due_seconds: None, ..alone };
        let verdict = workers(&[queue("replies"), empty.clone()]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["no worker for likes"]));
        let verdict = workers(&[empty]);
        assert!(matches!(verdict, Note(_)) && says(&verdict, &["cairn dev"]));
    }
}
