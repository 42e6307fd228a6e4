//! Try-outs of instructions: answered, failed for the provider's reason, and rescued.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use cairn_core::actor::{Caller, Role};
use cairn_core::settings::Settings;
use cairn_core::tools::Tool;
use cairn_core::tools::instructions::{self, Draft};
use cairn_core::tools::tryouts::{self, Tryout, TryoutState};
use cairn_testing::eventually;
use cairn_testing::processes::{Program, free_port};
use rustix::process::Signal;
use tempfile::TempDir;
use uuid::Uuid;

use super::{KEY, ReplyHarness, answer};

impl ReplyHarness {
    /// Asks a question under a version of its own, which is not active, as a new admin. Returns the id of the try-out.
    async fn try_out(&self, question: &str) -> Uuid {
        let admin = Caller { role: Role::Admin, ..self.learner().await };
        let draft = Draft {
            content: "Be brief.".into(),
            model: Some("tried-model".into()),
            temperature: Some(0.1),
            max_tokens: 300,
            include_learner: false,
            show_thinking: false,
        };
        let mut tx = self.harness.db.begin_as(&admin).await.unwrap();
        let version = instructions::create(&mut tx, Tool::Assistant, &draft).await.unwrap().version;
        let tryout = tryouts::create(&mut tx, &Settings::default(), Tool::Assistant, version, question).await.unwrap();
        tx.commit().await.unwrap();
        tryout.id
    }

    async fn tryout(&self, id: Uuid) -> Tryout {
        tryouts::find(&mut self.harness.pool().acquire().await.unwrap(), id).await.unwrap()
    }

    /// Waits until a try-out is in its final state.
    async fn ended(&self, id: Uuid) -> Tryout {
        let is_final = |state| matches!(state, TryoutState::Completed | TryoutState::Failed);
        eventually("the try-out has ended", async || is_final(self.tryout(id).await.state)).await;
        self.tryout(id).await
    }

    async fn attempts(&self, id: Uuid) -> i32 {
        sqlx::query_scalar("SELECT attempt FROM ai_tryouts WHERE id = $1")
            .bind(id)
            .fetch_one(self.harness.pool())
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_asked_with_its_text_and_model() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let script = "words=30,write=1";
    let id = fixture.try_out(&format!("stub:{script} What is a viewport?")).await;
    let tryout = fixture.ended(id).await;
    assert_eq!((tryout.state, tryout.answer.as_deref()), (TryoutState::Completed, Some(answer(script).as_str())));
    assert_eq!(tryout.model.as_deref(), Some("tried-model"));
    assert!(tryout.prompt_tokens > Some(0) && tryout.completion_tokens > Some(0), "{tryout:?}");
    assert!(tryout.first_token_ms.is_some() && tryout.provider.is_some(), "{tryout:?}");
    let asked = fixture.stub.requests().pop().unwrap().body;
    assert_eq!((&asked["model"], &asked["max_tokens"]), (&"tried-model".into(), &300.into()));
    assert_eq!(asked["messages"][0]["content"], "Be brief.");
    assert_eq!(fixture.count("SELECT count(*) FROM tool_chats").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM ai_replies").await, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_is_asked_once_and_its_reason_is_told() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.first_token = Duration::from_secs(2);
    fixture.ai().limits.silence = Duration::from_secs(2);
    let worker = fixture.harness.start();
    for (script, reason) in [
        ("fault=401", "unauthorized"),
        ("fault=429", "rate_limited"),
        ("fault=500", "provider_error"),
        ("fault=disconnect", "broken_off"),
        ("fault=stall,at=0", "silent"),
        ("fault=filter", "content_filter"),
        ("words=40000", "answer_too_long"),
    ] {
        let id = fixture.try_out(&format!("stub:{script} What is a viewport?")).await;
        let tryout = fixture.ended(id).await;
        assert_eq!(
            (tryout.state, tryout.reason.as_deref()),
            (TryoutState::Failed, Some(reason)),
            "{script}: {tryout:?}"
        );
        assert!(tryout.error.as_deref().is_some_and(|error| !error.is_empty() && !error.contains(KEY)), "{tryout:?}");
        assert!(answer(script).starts_with(tryout.answer.as_deref().unwrap_or_default()), "{script}");
        assert_eq!(fixture.stub.calls(script), 1, "{script}");
    }
    eventually("the jobs are done", async || fixture.harness.count("replies", "Done").await == 7).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_out_of_a_stopped_worker_is_answered_by_the_next() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.at_stop = Duration::ZERO;
    let worker = fixture.harness.start();
    let script = "fault=stall,times=1";
    let id = fixture.try_out(&format!("stub:{script} Hello?")).await;
    eventually("the provider is asked", async || fixture.stub.open() == 1).await;
    worker.stop().await;
    let stopped = fixture.tryout(id).await;
    assert_eq!(stopped.state, TryoutState::Running);
    assert!(stopped.prompt_tokens > Some(0), "{stopped:?}");
    let worker = fixture.harness.start();
    let tryout = fixture.ended(id).await;
    // Both attempts were paid for.
    let tokens = |tryout: &Tryout| tryout.prompt_tokens.zip(tryout.completion_tokens).map(|(a, b)| i64::from(a + b));
    let alone = fixture.ended(fixture.try_out("stub:words=20 Hello?").await).await;
    assert!(tokens(&tryout) > tokens(&alone) && tokens(&tryout) > tokens(&stopped), "{tryout:?}");
    let spent = fixture.count("SELECT sum(tokens)::bigint FROM ai_spending").await;
    assert_eq!(Some(spent), tokens(&tryout).zip(tokens(&alone)).map(|(a, b)| a + b));
    assert_eq!((tryout.state, tryout.answer), (TryoutState::Completed, Some(answer(script))));
    assert_eq!(fixture.attempts(id).await, 2);
    worker.stop().await;
}

/// Killed after the provider has answered, and before the answer is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_out_of_a_killed_worker_is_answered_by_the_next() {
    let fixture = ReplyHarness::new().await;
    let logs = TempDir::new().unwrap();
    let environment = vec![
        ("DATABASE_URL", fixture.harness.url()),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port().unwrap())),
        ("CAIRN_LOG", "warn".to_owned()),
        ("CAIRN_AI_BASE_URL", fixture.stub.base_url()),
        ("CAIRN_AI_MODEL", "default-model".to_owned()),
        ("CAIRN_AI_API_KEY", KEY.to_owned()),
    ];
    let program = Program::new("cairn-worker", environment, logs.path().join("worker.log"));
    let id = fixture.try_out("stub:words=9 Hello?").await;
    let mut process = program.start(Some("after_external_call")).unwrap();
    let status = process.ended(Duration::from_secs(40)).await.unwrap();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    let lost = fixture.tryout(id).await;
    assert!(lost.prompt_tokens > Some(0) && lost.is_estimate, "{lost:?}");
    assert_eq!((lost.state, lost.answer), (TryoutState::Running, None));
    // Instead of waiting for the heartbeat timeout and the backoff.
    sqlx::query("UPDATE apalis.workers SET last_seen = now() - interval '1 hour'")
        .execute(fixture.harness.pool())
        .await
        .unwrap();
    let worker = fixture.harness.start();
    eventually("the try-out has ended", async || {
        fixture.make_due().await;
        fixture.tryout(id).await.state == TryoutState::Completed
    })
    .await;
    assert_eq!(fixture.tryout(id).await.answer, Some(answer("words=9")));
    assert_eq!((fixture.attempts(id).await, fixture.stub.calls("words=9")), (2, 2));
    worker.stop().await;
}
