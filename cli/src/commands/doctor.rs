//! `cairn doctor`: what is wrong, and what to do about it.

use std::path::Path;
use std::time::Duration;

use cairn_core::admin::health;
use cairn_core::clock::Clock;
use cairn_core::config::Config;
use cairn_core::db::connect_options;
use chrono::TimeDelta;
use sqlx::{ConnectOptions, PgConnection};

use crate::database::{Database, Sharing};
use crate::failure::Failure;
use crate::output::print_line;

/// How far the clocks may be apart, in milliseconds.
const SKEW_LIMIT: i64 = 2000;
/// How long a due job may wait, in seconds.
const WAIT_LIMIT: f64 = 60.0;
/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

enum Verdict {
    Good(String),
    /// Worth knowing, no failure.
    Note(String),
    Bad(String),
}
use Verdict::{Bad, Good, Note};

#[derive(Default)]
struct Visit {
    failed: bool,
}

impl Visit {
    fn tell(&mut self, what: &str, verdict: &Verdict) -> Result<(), Failure> {
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
    let mut visit = Visit::default();
    let config = match Config::load() {
        Ok(config) => config,
        Err(error) => {
            visit.tell("config", &Bad(error.to_string()))?;
            return Err(Failure::Told);
        }
    };
    visit.tell("config", &configuration(&config))?;
    match Database::open(&config, data_dir, Sharing::Shared).await {
        Ok(database) => {
            examine(&mut visit, &database).await?;
            database.close().await?;
        }
        Err(Failure::Setup(message) | Failure::Failed(message)) => visit.tell("database", &Bad(message))?,
        Err(failure) => return Err(failure),
    }
    if visit.failed { Err(Failure::Told) } else { Ok(()) }
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

async fn examine(visit: &mut Visit, database: &Database) -> Result<(), Failure> {
    let Some(mut connection) = connect(visit, database).await? else { return Ok(()) };
    let up_to_date = match database.migrations().await {
        Ok(state) if state.pending == 0 => Good(format!("all {} migrations are applied", state.applied)),
        Ok(state) => Bad(format!("{} are pending: run `cairn migrate`", state.pending)),
        Err(Failure::Setup(message) | Failure::Failed(message)) => Bad(message),
        Err(failure) => return Err(failure),
    };
    visit.tell("migrations", &up_to_date)?;
    visit.tell("clock", &clock(&mut connection).await)?;
    if matches!(up_to_date, Good(_)) {
        let (jobs, workers) = match health::queues(&mut connection).await {
            Ok(queues) => judge(&queues),
            Err(error) => (Bad(error.to_string()), Note("unknown".to_owned())),
        };
        visit.tell("jobs", &jobs)?;
        visit.tell("workers", &workers)?;
    }
    Ok(())
}

async fn connect(visit: &mut Visit, database: &Database) -> Result<Option<PgConnection>, Failure> {
    let mut last = None;
    for (what, url) in [("database", database.url()), ("direct", database.direct_url())] {
        let options = connect_options(url.expose())?;
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
        visit.tell(what, &verdict)?;
        if matches!(verdict, Bad(_)) {
            return Ok(None);
        }
    }
    Ok(last)
}

async fn clock(connection: &mut PgConnection) -> Verdict {
    let clock = Clock::default();
    let before = clock.now();
    let theirs = match health::database_time(connection).await {
        Ok(time) => time,
        Err(error) => return Bad(error.to_string()),
    };
    let after = clock.now();
    // The database looked at its clock somewhere in between.
    let skew = if theirs < before {
        before - theirs
    } else if theirs > after {
        theirs - after
    } else {
        TimeDelta::zero()
    };
    match skew.num_milliseconds() {
        ms if ms > SKEW_LIMIT => Bad(format!("{ms} ms from the database's: set up NTP on both machines")),
        ms => Good(format!("{ms} ms from the database's")),
    }
}

fn judge(queues: &health::Queues) -> (Verdict, Verdict) {
    let waiting = queues.waiting;
    let late = queues.oldest_due_seconds.filter(|seconds| *seconds > WAIT_LIMIT);
    let jobs = match (late, queues.dead) {
        (Some(seconds), _) => Bad(format!("{waiting} unfinished, one due for {seconds:.0} s: start cairn-worker")),
        (None, 0) => Good(format!("{waiting} unfinished, none late, none dead")),
        (None, dead) => Note(format!("{waiting} unfinished, {dead} dead: see `cairn verify`")),
    };
    let workers = match queues.workers {
        0 => Note("no worker has given a sign of life for 30 s: start cairn-worker or `cairn dev`".to_owned()),
        n => Good(format!("{n} queues are worked")),
    };
    (jobs, workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(waiting: i64, oldest_due_seconds: Option<f64>, dead: i64, workers: i64) -> health::Queues {
        health::Queues { waiting, oldest_due_seconds, dead, workers }
    }

    #[test]
    fn only_late_jobs_are_a_failure() {
        assert!(matches!(judge(&queues(3, Some(2.0), 0, 6)), (Good(_), Good(_))));
        assert!(matches!(judge(&queues(0, None, 1, 6)), (Note(_), Good(_))));
        assert!(matches!(judge(&queues(3, Some(61.0), 1, 0)), (Bad(_), Note(_))));
    }
}
