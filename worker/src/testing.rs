//! For tests: runs what is due, in this process, without a worker.

use cairn_core::clock::{Clock, new_id};
use cairn_core::db::Db;
use cairn_core::jobs::Queue;
use cairn_core::jobs::lease::{self, Finished};

use crate::{Context, adapter};

/// Runs all jobs that are due, and those that they make due, until none is left. Returns how many ran.
pub async fn run_jobs(db: &Db) -> cairn_core::Result<usize> {
    let context = Context::new(db.clone(), Clock::default());
    let worker = format!("test-{}", new_id());
    let mut connection = db.pool().acquire().await?;
    lease::heartbeat(&mut connection, &[(worker.clone(), Queue::Activity)]).await?;
    let mut ran = 0;
    loop {
        let mut round = 0;
        for queue in Queue::ALL {
            let leases = lease::claim(&mut connection, queue, &worker, 100).await?;
            let runs = leases.iter().map(|lease| async {
                let (_, outcome) = adapter::run(&context, queue, lease).await;
                Finished { id: lease.id.clone(), attempt: lease.attempt, outcome }
            });
            let finished = futures_util::future::join_all(runs).await;
            lease::finish(&mut connection, &worker, &finished).await?;
            round += finished.len();
        }
        if round == 0 {
            return Ok(ran);
        }
        ran += round;
    }
}
