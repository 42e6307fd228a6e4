//! The jobs that write replies, answer try-outs and run evaluations, and the reconciler for replies without a live job.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Reason, replies};
use crate::Result;
use crate::db::Tx;
use crate::queue::{Job, Queue, stored};

/// Generates the answer to a question.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GenerateReply {
    /// The reply.
    pub reply_id: Uuid,
    /// How often the learner has retried the reply. After a further retry, the job is obsolete.
    #[serde(default)]
    pub retry: i32,
}

impl Job for GenerateReply {
    const KIND: &'static str = "generate_reply";
    const QUEUE: Queue = Queue::Replies;
    /// Waits for a provider count as attempts: enough for half an hour of them, and for crashes.
    const MAX_ATTEMPTS: i32 = 100;
    /// Longer than the time limit of an answer and what is stored before and after it, which the job enforces itself.
    const DEADLINE: Duration = Duration::from_secs(200);
    /// An unfinished reply is handed over to another worker.
    const HEEDS_SHUTDOWN: bool = true;
}

/// Answers the question of a try-out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AnswerTryout {
    /// The try-out.
    pub tryout_id: Uuid,
}

impl Job for AnswerTryout {
    const KIND: &'static str = "answer_tryout";
    const QUEUE: Queue = Queue::Replies;
    /// A failure of the provider is the result, so only a crash is followed by another attempt.
    const MAX_ATTEMPTS: i32 = 3;
    /// Longer than the time limit of an answer and what is stored before and after it, which the job enforces itself.
    const DEADLINE: Duration = Duration::from_secs(200);
    /// An unfinished try-out is handed over to another worker.
    const HEEDS_SHUTDOWN: bool = true;
}

/// Asks the next question of a run of an evaluation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunEvaluation {
    /// The run.
    pub run_id: Uuid,
}

impl Job for RunEvaluation {
    const KIND: &'static str = "run_evaluation";
    const QUEUE: Queue = Queue::Replies;
    /// Attempts at one question: each answer is followed by a job of its own.
    const MAX_ATTEMPTS: i32 = 10;
    /// Longer than the time limit of an answer and what is stored before and after it, which the job enforces itself.
    const DEADLINE: Duration = Duration::from_secs(200);
    /// An unfinished run is handed over to another worker.
    const HEEDS_SHUTDOWN: bool = true;
}

/// Fails open replies whose last job is dead, because they would never be finished, and their chat would stay blocked. Enqueues a
/// job for open replies that have none (it was removed by hand). A dead job of a reply that was retried since is ignored.
pub async fn dead_replies(tx: &mut Tx) -> Result<()> {
    let jobs = stored::<GenerateReply>(tx).await?;
    let live: HashSet<Uuid> = jobs.live.iter().map(|job| job.reply_id).collect();
    let dead = jobs.dead.iter().filter(|job| !live.contains(&job.reply_id)).map(|job| (job.reply_id, job.retry));
    let (dead, retries): (Vec<Uuid>, Vec<i32>) = dead.unzip();
    let open = sqlx::query_scalar!(
        // All are locked before the first is ended, which locks the sums of what was spent.
        "SELECT r.id FROM ai_replies r
         WHERE r.state IN ('queued', 'streaming') AND EXISTS (
             SELECT FROM unnest($1::uuid[], $2::integer[]) AS dead (id, retry)
             WHERE dead.id = r.id AND dead.retry = cardinality(r.retried_at))
         ORDER BY r.id LIMIT 100 FOR NO KEY UPDATE",
        &dead,
        &retries
    )
    .fetch_all(&mut **tx)
    .await?;
    for id in open {
        replies::fail_open(tx, id, Reason::AttemptsExhausted).await?;
    }
    let live: Vec<Uuid> = live.into_iter().collect();
    let jobless = sqlx::query!(
        r#"SELECT id, cardinality(retried_at) AS "retry!" FROM ai_replies
         WHERE state IN ('queued', 'streaming') AND updated_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute' AND id <> ALL ($1)
         ORDER BY updated_at
         LIMIT 100"#,
        &live
    )
    .fetch_all(&mut **tx)
    .await?;
    for reply in jobless {
        tx.enqueue(&GenerateReply { reply_id: reply.id, retry: reply.retry })?;
    }
    Ok(())
}
