//! For tests: runs due jobs in this process, without a worker.

use std::sync::Arc;

use cairn_core::clock::new_id;
use cairn_core::config::{MailConfig, default_concurrency};
use cairn_core::db::Db;
use cairn_core::queue::lease::{self, Outcome};
use cairn_core::queue::{Queue, claim};
use tokio::time::Instant;

use crate::mail_hook::MailHook;
use crate::{Context, adapter};

/// Runs all due jobs, and the jobs they enqueue, until none is due or snoozed. Returns how many jobs ran.
pub async fn run_jobs(db: &Db) -> cairn_core::Result<usize> {
    run_with(Context::new(db.clone())).await
}

/// The same, with a hook that gets mails.
pub async fn run_jobs_with_mail(db: &Db, mail: &MailConfig) -> cairn_core::Result<usize> {
    run_with(Context::new(db.clone()).with_mail(Some(Arc::new(MailHook::new(mail)?)))).await
}

async fn run_with(context: Context) -> cairn_core::Result<usize> {
    let db = &context.db;
    let id = new_id();
    let worker_of = |queue: Queue| format!("test-{}-{id}", queue.name());
    let mut connection = db.acquire().await?;
    lease::heartbeat(&mut connection, &Queue::ALL.map(|queue| (worker_of(queue), queue))).await?;
    let mut ran = 0;
    // When all snoozed jobs are due.
    let mut snoozed_until: Option<Instant> = None;
    loop {
        let mut round = 0;
        for queue in Queue::ALL {
            // At most as many at once as a worker runs, because jobs of one roadmap would have to wait for each other.
            let worker = worker_of(queue);
            let concurrency = i64::try_from(default_concurrency(queue).min(100)).unwrap_or(1);
            let leases = claim::claim(&mut connection, queue, &worker, concurrency).await?;
            let runs = leases.iter().map(async |lease| lease.finished(adapter::run(&context, queue, lease).await.1));
            let finished = futures_util::future::join_all(runs).await;
            lease::finish(&mut connection, &worker, &finished).await?;
            for end in finished {
                match end.outcome {
                    Outcome::Snooze { delay } => snoozed_until = snoozed_until.max(Some(Instant::now() + delay)),
                    _ => round += 1,
                }
            }
        }
        ran += round;
        if round == 0 {
            // Even if that time has passed meanwhile, they have not been claimed again.
            let Some(until) = snoozed_until.take() else { return Ok(ran) };
            tokio::time::sleep_until(until).await;
        }
    }
}
