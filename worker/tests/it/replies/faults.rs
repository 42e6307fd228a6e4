//! Every fault of a provider leads to the right state, for the right reason, after the right number of calls.

use std::time::Duration;

use cairn_stub_provider::Dialect;
use sqlx::postgres::PgPoolOptions;

use super::{KEY, ReplyHarness, answer};
use cairn_testing::database::end_sessions;
use cairn_testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_every_dialect_and_form_are_stored_unchanged() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let mut scripts: Vec<String> = ["think=5", "write=1", "fault=json", "fault=no_done", "fault=length", "words=3000"]
        .map(|script| format!("{script},times=9"))
        .to_vec();
    scripts.extend(Dialect::ALL.map(|dialect| format!("write=2,think=1,as={}", dialect.name())));
    for script in &scripts {
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        let stored = fixture.completed(reply).await;
        assert_eq!(stored.text, answer(script), "{script}");
        assert_eq!((stored.attempt, stored.ends, fixture.stub.calls(script)), (1, vec![None], 1), "{script}");
    }
    let cut: Vec<bool> = sqlx::query_scalar("SELECT is_cut FROM ai_reply_attempts WHERE is_cut")
        .fetch_all(fixture.harness.pool())
        .await
        .unwrap();
    assert_eq!(cut.len(), 1, "one answer was cut at its maximum length, and is marked");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_failures_are_not_retried_and_have_their_reason() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let mut cases = vec![
        ("fault=401".to_owned(), "unauthorized"),
        ("fault=403".to_owned(), "unauthorized"),
        ("fault=400".to_owned(), "bad_request"),
        ("fault=redirect".to_owned(), "bad_request"),
        ("fault=filter".to_owned(), "content_filter"),
        ("fault=refusal".to_owned(), "refused"),
        ("words=40000".to_owned(), "answer_too_long"),
        // The same question would be thought about for as long as before.
        ("think=50,words=0,fault=length".to_owned(), "only_thinking"),
    ];
    for dialect in Dialect::ALL.map(Dialect::name) {
        for (fault, reason) in [
            ("quota", "provider_quota"),
            ("context", "context_too_long"),
            ("flagged", "content_filter"),
            ("model", "model_not_found"),
        ] {
            cases.push((format!("fault={fault},as={dialect}"), reason));
        }
    }
    for (script, reason) in &cases {
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        let stored = fixture.finished(reply).await;
        assert_eq!(
            (stored.state.as_str(), stored.reason.as_deref()),
            ("failed", Some(*reason)),
            "{script}: {stored:?}"
        );
        assert_eq!((stored.attempt, fixture.stub.calls(script)), (1, 1), "{script}");
        assert_eq!(stored.ends, [Some((*reason).to_owned())], "{script}");
        assert_eq!(stored.answer, None, "{script}");
        assert!(answer(script).starts_with(&stored.text), "the received text is kept: {script}");
    }
    // Jobs of failures that need an operator are dead, the others are done.
    let dead = fixture.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'replies' AND status = 'Killed'").await;
    let done = fixture.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'replies' AND status = 'Done'").await;
    assert_eq!((dead, done), (5 + 2 * 5, 3 + 2 * 5));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_failures_are_retried_and_the_text_starts_over() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let mut cases = vec![
        ("429".to_owned(), "rate_limited"),
        ("500".to_owned(), "provider_error"),
        ("503,as=llamacpp".to_owned(), "provider_error"),
        ("408".to_owned(), "provider_error"),
        ("error_200".to_owned(), "provider_error"),
        ("hang_up".to_owned(), "unreachable"),
        ("disconnect".to_owned(), "broken_off"),
        ("end".to_owned(), "unknown_end"),
        ("garbage".to_owned(), "malformed"),
        ("bytes".to_owned(), "malformed"),
        ("line".to_owned(), "malformed"),
        ("html".to_owned(), "malformed"),
        ("empty".to_owned(), "empty_answer"),
        ("no_reason".to_owned(), "unknown_end"),
    ];
    for dialect in Dialect::ALL.map(Dialect::name) {
        // An answer that has begun is billed, whatever the error is.
        cases.push((format!("error,as={dialect}"), "broken_off"));
        cases.push((format!("overloaded,at=0,as={dialect}"), "provider_error"));
    }
    for (fault, reason) in &cases {
        let script = format!("fault={fault},times=1");
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        let stored = fixture.completed(reply).await;
        assert_eq!(stored.text, answer(&script), "{script}");
        assert_eq!((stored.attempt, fixture.stub.calls(&script)), (2, 2), "{script}: {stored:?}");
        assert_eq!(stored.ends, [Some((*reason).to_owned()), None], "{script}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn billed_failures_are_retried_only_a_few_times() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    // What is not understood would not be understood the next time either, so there is only one more attempt.
    for (fault, reason, calls) in [
        ("end", "unknown_end", 2),
        ("disconnect", "broken_off", 5),
        ("empty", "empty_answer", 3),
        ("garbage", "malformed", 2),
        ("no_reason", "unknown_end", 2),
    ] {
        let script = format!("words=8,fault={fault}");
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        let stored = fixture.finished(reply).await;
        assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some(reason)), "{stored:?}");
        assert_eq!((usize::try_from(stored.attempt), fixture.stub.calls(&script)), (Ok(calls), calls));
        assert!(stored.ends.iter().all(|end| end.as_deref() == Some(reason)), "{stored:?}");
        assert!(answer(&script).starts_with(&stored.text));
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_is_disconnected() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.first_token = Duration::from_secs(2);
    fixture.ai().limits.silence = Duration::from_secs(2);
    let worker = fixture.harness.start();
    for (script, reason) in [("fault=stall,at=0,times=1", "silent"), ("fault=stall,times=1", "broken_off")] {
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        let stored = fixture.completed(reply).await;
        assert_eq!((stored.text, stored.ends), (answer(script), vec![Some(reason.to_owned()), None]), "{script}");
    }
    // If there is no response at all, it counts as an outage.
    let reply = fixture.ask("stub:headers=600000 What is a viewport?").await;
    eventually("the reply is requeued", async || fixture.stored(reply).await.ends == [Some("silent".to_owned())]).await;
    assert_eq!(fixture.stored(reply).await.state, "queued");
    eventually("all of the connections are closed", async || fixture.stub.hung_up() == 3).await;
    worker.stop().await;
}

/// Comments and thoughts for longer than a provider may be silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_shows_that_it_works_may_think() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.first_token = Duration::from_secs(2);
    fixture.ai().limits.silence = Duration::from_secs(2);
    let worker = fixture.harness.start();
    for script in ["alive=60,words=5", "think=60,gap=50,words=5"] {
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        let stored = fixture.completed(reply).await;
        assert_eq!((stored.text, stored.attempt, fixture.stub.calls(script)), (answer(script), 1, 1), "{script}");
    }
    // Up to the limit of the whole answer.
    worker.stop().await;
    fixture.ai().limits.total = Duration::from_secs(3);
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:fault=keepalive,at=0 What is a viewport?").await;
    assert_eq!(fixture.finished(reply).await.reason.as_deref(), Some("too_slow"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_retried_once() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.total = Duration::from_secs(1);
    let worker = fixture.harness.start();
    let script = "words=1000,gap=50";
    let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
    let stored = fixture.finished(reply).await;
    assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some("too_slow")), "{stored:?}");
    assert_eq!((stored.attempt, fixture.stub.calls(script)), (2, 2));
    assert!(!stored.text.is_empty() && answer(script).starts_with(&stored.text), "the received text is kept");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_not_called_before_the_time_it_asked_for() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    for (script, least) in [("fault=429,retry_after=200", 150), ("fault=503,retry_after=90", 60)] {
        let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
        eventually("the job waits", async || {
            fixture.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'replies' AND status = 'Failed'").await
                == 1
        })
        .await;
        let waits: f64 = sqlx::query_scalar(
            "SELECT extract(epoch FROM run_at - now())::float8 FROM apalis.jobs WHERE job_type = 'replies' AND status = 'Failed'",
        )
        .fetch_one(fixture.harness.pool())
        .await
        .unwrap();
        assert!(waits > f64::from(least), "{script}: {waits}");
        assert_eq!(fixture.stored(reply).await.state, "queued");
        sqlx::query("DELETE FROM apalis.jobs WHERE job_type = 'replies'")
            .execute(fixture.harness.pool())
            .await
            .unwrap();
    }
    worker.stop().await;
}

/// Collects everything that this thread logs.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The database ends sessions, or somebody holds a lock for longer than statements wait, while an answer is being written.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_progress_outlives_a_database_that_falters() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    // Of one connection, which is the one that ends the others.
    let observer = PgPoolOptions::new().max_connections(1).connect(&fixture.harness.url()).await.unwrap();
    let script = "words=160,gap=40";
    let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
    let chunks = async || {
        let chunks = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ai_reply_chunks WHERE reply_id = $1");
        chunks.bind(reply).fetch_one(&observer).await.unwrap()
    };
    for _ in 0..5 {
        let before = chunks().await;
        eventually("there is more text", async || chunks().await > before).await;
        assert!(end_sessions(&mut observer.acquire().await.unwrap()).await > 0);
    }
    let finished = "SELECT EXISTS (SELECT FROM ai_replies WHERE id = $1 AND finished_at IS NOT NULL)";
    eventually("the answer is complete", async || {
        sqlx::query_scalar(finished).bind(reply).fetch_one(&observer).await.unwrap()
    })
    .await;
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, fixture.stub.calls(script)), (answer(script), 1, 1));

    let script = "words=6,headers=3000";
    let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
    eventually("the provider is asked", async || fixture.stub.open() == 1).await;
    let mut holder = observer.begin().await.unwrap();
    sqlx::query("SELECT FROM ai_replies FOR UPDATE").execute(&mut *holder).await.unwrap();
    for _ in 0..2 {
        eventually("the worker waits for the reply", async || fixture.harness.is_lock_awaited().await).await;
        eventually("the worker has given up", async || !fixture.harness.is_lock_awaited().await).await;
    }
    eventually("the worker tries again", async || fixture.harness.is_lock_awaited().await).await;
    holder.rollback().await.unwrap();
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, fixture.stub.calls(script)), (answer(script), 1, 1));
    worker.stop().await;
}

/// Runs on one thread, so that the log is complete.
#[tokio::test]
async fn the_key_is_sent_and_appears_nowhere_else() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // While there is only one subscriber, `tracing` asks the subscriber of the current thread once whether a log statement
    // is of interest, and remembers the answer for all threads. A test on another thread would then switch it off.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    // The error of the first one quotes the key.
    for (script, state) in [("fault=401", "failed"), ("fault=disconnect", "failed"), ("words=3", "completed")] {
        let reply = fixture.ask(&format!("stub:{script} Is this a secret question?")).await;
        assert_eq!(fixture.finished(reply).await.state, state);
    }
    worker.stop().await;
    assert!(fixture.stub.requests().iter().all(|asked| asked.authorization == Some(format!("Bearer {KEY}"))));
    let said: String = sqlx::query_scalar("SELECT error FROM ai_reply_attempts WHERE reason = 'unauthorized'")
        .fetch_one(fixture.harness.pool())
        .await
        .unwrap();
    assert!(said.contains("[redacted]"), "{said}");
    let stored: String = sqlx::query_scalar(
        "SELECT concat((SELECT json_agg(r) FROM ai_replies r), (SELECT json_agg(a) FROM ai_reply_attempts a),
                       (SELECT json_agg(j.last_result) FROM apalis.jobs j), (SELECT json_agg(l) FROM activity_log l))",
    )
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap();
    assert!(!stored.contains(KEY), "{stored}");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("the reply has failed: unauthorized"), "the failure is logged");
    assert!(!log.contains(KEY), "the key is logged");
}
