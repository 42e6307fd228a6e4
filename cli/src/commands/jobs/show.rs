//! `cairn jobs stats`, `workers`, `list` and `show`, as tables or as JSON.

use cairn_core::db::{Connection, Db};
use cairn_core::queue::inspect::{self, Filter, JobDetails, JobSummary, Payload, State};
use cairn_core::queue::queues::{self, QueueState};
use cairn_core::queue::{JobKind, Queue};
use cairn_core::refusal::{NotFound, Rejected};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::names;
use crate::failure::Failure;
use crate::output::{one_line, print, print_line, table};

#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Format {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Only jobs in this state.
    #[arg(long, value_parser = names::state())]
    state: Option<State>,
    /// Only jobs of this queue.
    #[arg(long, value_parser = names::queue())]
    queue: Option<Queue>,
    /// Only jobs of this kind.
    #[arg(long, value_parser = names::kind())]
    kind: Option<JobKind>,
    /// Maximum number of jobs.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    #[command(flatten)]
    format: Format,
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// Id of the job.
    id: String,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn stats(db: &Db, format: Format) -> Result<(), Failure> {
    let queues = queues::overview(&mut *connection(db).await?).await?;
    if format.json {
        return print_json(&queues);
    }
    let head = [
        "queue",
        "due",
        "oldest",
        "scheduled",
        "retrying",
        "running",
        "dead",
        "done/min",
        "done/h",
        "failed/h",
        "workers",
        "",
    ];
    print(&table(&head, &queues.iter().map(stats_row).collect::<Vec<_>>()))
}

fn stats_row(queue: &QueueState) -> Vec<String> {
    let mut row = vec![queue.name.clone(), queue.due.to_string()];
    row.push(queue.oldest_due_seconds.map_or_else(String::new, |seconds| format!("{seconds:.0} s")));
    let counts = [
        queue.scheduled,
        queue.retrying,
        queue.running,
        queue.dead,
        queue.done_last_minute,
        queue.done_last_hour,
        queue.failed_last_hour,
        queue.workers,
    ];
    row.extend(counts.map(|count| count.to_string()));
    row.push(queue.paused_at.map_or_else(String::new, |since| format!("paused since {}", time(Some(since)))));
    row
}

pub(super) async fn workers(db: &Db, format: Format) -> Result<(), Failure> {
    let mut workers = Vec::new();
    loop {
        let after = workers.last().map(|worker: &queues::Worker| worker.name.clone());
        let page = queues::workers(&mut *connection(db).await?, after.as_deref(), 1000).await?;
        let is_last = page.len() < 1000;
        workers.extend(page);
        if is_last {
            break;
        }
    }
    if format.json {
        return print_json(&workers);
    }
    if workers.is_empty() {
        return print_line("no worker has sent a heartbeat for 15 s: start cairn-worker or `cairn dev`");
    }
    let rows = workers.into_iter().map(|worker| {
        let alive = if worker.is_alive { "" } else { "lost: its jobs will be given to others" };
        let held = worker.held.to_string();
        vec![worker.queue, held, time(worker.started_at), time(Some(worker.last_seen)), worker.name, alive.to_owned()]
    });
    print(&table(&["queue", "jobs", "started", "last seen", "worker", ""], &rows.collect::<Vec<_>>()))
}

pub(super) async fn list(db: &Db, args: &List) -> Result<(), Failure> {
    let filter = Filter::new(args.state, args.queue, args.kind).ok_or_else(|| names::elsewhere(args.kind))?;
    let mut jobs: Vec<JobSummary> = Vec::new();
    loop {
        let wanted = i64::from(args.limit) - i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        let after = jobs.last().and_then(JobSummary::key);
        if wanted <= 0 || (after.is_none() && !jobs.is_empty()) {
            break;
        }
        let page = inspect::list(&mut *connection(db).await?, &filter, after.as_ref(), wanted.min(100)).await?;
        if page.is_empty() {
            break;
        }
        jobs.extend(page);
    }
    if args.format.json {
        return print_json(&jobs);
    }
    if jobs.is_empty() {
        return print_line("no jobs found");
    }
    let rows = jobs.into_iter().map(|job| {
        let when = time(job.ended_at.or(job.run_at));
        let attempts = format!("{}/{}", job.attempts, job.max_attempts);
        let error = job.error.unwrap_or_default().chars().take(60).collect();
        vec![job.id, job.state.name().to_owned(), job.queue, job.kind.unwrap_or_default(), attempts, when, error]
    });
    print(&table(&["id", "state", "queue", "kind", "attempts", "ended or due", "error"], &rows.collect::<Vec<_>>()))
}

pub(super) async fn job(db: &Db, args: &Show) -> Result<(), Failure> {
    let found = match inspect::find(&mut *connection(db).await?, &args.id).await {
        Ok(found) => found,
        Err(Rejected::Refused(NotFound(_))) => {
            let fix = "run `cairn jobs list` to see the jobs";
            return Err(Failure::failed(format!("job {} does not exist or has been removed: {fix}", args.id)));
        }
        Err(Rejected::Failed(error)) => return Err(error.into()),
    };
    if args.format.json { print_json(&found) } else { show(&found) }
}

fn show(found: &JobDetails) -> Result<(), Failure> {
    let job = &found.job;
    let discarded_by = found.discarded_by.as_deref().map(|id| if id.is_empty() { "the command line" } else { id });
    let lines = [
        ("id", job.id.clone()),
        ("queue", job.queue.clone()),
        ("kind", job.kind.clone().unwrap_or_default()),
        ("state", job.state.name().to_owned()),
        ("attempts", format!("{} of {}", job.attempts, job.max_attempts)),
        ("enqueued", time(found.enqueued_at)),
        ("due", time(job.run_at)),
        ("started", time(job.started_at)),
        ("worker", job.worker.clone().unwrap_or_default()),
        ("ended", time(job.ended_at)),
        ("discarded by", discarded_by.unwrap_or_default().to_owned()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        print_line(&format!("{name:<13} {}", one_line(value)))?;
    }
    for error in &found.errors {
        let attempt = error.attempt.map_or_else(String::new, |attempt| attempt.to_string());
        print_line(&format!("error         {attempt:>2}  {}  {}", time(error.at), one_line(&error.error)))?;
    }
    match &found.payload {
        Payload::Json(json) => print_line(&format!("payload       {json:#}")),
        Payload::Unreadable(text) => print_line(&format!("payload       unreadable: {}", one_line(text))),
    }
}

fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(cairn_core::Error::from)?;
    print_line(&json)
}

async fn connection(db: &Db) -> Result<Connection, Failure> {
    Ok(db.acquire().await?)
}
