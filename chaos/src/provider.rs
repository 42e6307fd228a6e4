//! A provider that shows its faults at random, and what the platform is told of it.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::db::connect_options;
use cairn_stub_provider::Stub;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{ConnectOptions, PgPool};
use tokio::task::AbortHandle;

/// The model, which has a price, so that budgets of money apply.
const MODEL: &str = "stub";

/// What a learner may use in a day: some answers, so that budgets are reached.
const LEARNER_BUDGET: u64 = 40_000;

/// Milliseconds between two disturbances, and of an outage.
const PAUSE: std::ops::Range<u64> = 5_000..20_000;
const OUTAGE: std::ops::Range<u64> = 1_000..4_000;

/// A running provider.
pub(crate) struct Provider {
    stub: Arc<Stub>,
    disturbing: Option<AbortHandle>,
}

impl Provider {
    /// Starts a provider whose answers depend on the seed.
    pub(crate) async fn start(seed: u64) -> anyhow::Result<Self> {
        let stub = Arc::new(Stub::start().await?);
        stub.answer_at_random(Some(seed));
        Ok(Self { stub, disturbing: None })
    }

    /// The configuration of workers, with little patience.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CAIRN_AI_BASE_URL", self.stub.base_url()),
            ("CAIRN_AI_MODEL", MODEL.to_owned()),
            ("CAIRN_AI_PRICES", format!("{MODEL}=2/10")),
            ("CAIRN_AI_FIRST_TOKEN_SECONDS", "3".to_owned()),
            ("CAIRN_AI_SILENCE_SECONDS", "3".to_owned()),
            ("CAIRN_AI_TOTAL_SECONDS", "30".to_owned()),
        ]
    }

    /// Sets budgets, lets learners ask all tools at once, and shows what the model thinks to those who ask one of them.
    pub(crate) async fn configure(&self, url: &str) -> anyhow::Result<()> {
        let budgets = serde_json::json!([
            {"scope": "learner", "period": "day", "unit": "tokens", "amount": LEARNER_BUDGET},
            {"scope": "ideas", "period": "day", "unit": "cost_micros", "amount": 1_000_000_000_000_i64},
            {"scope": "platform", "period": "month", "unit": "cost_micros", "amount": 1_000_000_000_000_i64},
        ]);
        let mut connection = connect_options(url)?.connect().await?;
        sqlx::query(
            "INSERT INTO platform_settings (key, value) VALUES ('ai.open_replies_per_user', '3'), ('ai.budgets', $1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(budgets)
        .execute(&mut connection)
        .await?;
        sqlx::raw_sql("UPDATE ai_system_instructions SET show_thinking = true WHERE tool_type = 'ideas'")
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// Has outages from time to time, during which no connection is answered, and forgets what was learnt about the model, so that
    /// its refusals are met again.
    pub(crate) fn disturb(&mut self, pool: PgPool, seed: u64) {
        let (stub, mut random) = (Arc::clone(&self.stub), StdRng::seed_from_u64(seed));
        let disturbing = async move {
            loop {
                tokio::time::sleep(Duration::from_millis(random.random_range(PAUSE))).await;
                stub.set_out(true);
                tokio::time::sleep(Duration::from_millis(random.random_range(OUTAGE))).await;
                stub.set_out(false);
                // While the database is unavailable, nothing is forgotten.
                let _ = sqlx::query("DELETE FROM ai_adjustments").execute(&pool).await;
            }
        };
        self.disturbing = Some(tokio::spawn(disturbing).abort_handle());
    }

    /// Has no more faults, so that whoever waits for an answer gets one.
    pub(crate) fn calm(&self) {
        if let Some(disturbing) = &self.disturbing {
            disturbing.abort();
        }
        self.stub.set_out(false);
        self.stub.answer_at_random(None);
    }

    /// What was shown.
    pub(crate) fn stub(&self) -> &Stub {
        &self.stub
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.calm();
    }
}
