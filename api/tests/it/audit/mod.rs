//! The activity log, as admins read it.

mod access;
mod activity;
mod export;
mod history;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

/// Writes a row of the log.
async fn logged(
    app: &TestApp,
    at: &str,
    actor: Uuid,
    action: &str,
    target: Option<(&str, Uuid, &str)>,
    details: Value,
) {
    let at: DateTime<Utc> = at.parse().unwrap();
    sqlx::query(
        "INSERT INTO activity_log (id, occurred_at, actor_id, action, target_type, target_id, target_title, metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(cairn_core::clock::new_id())
    .bind(at)
    .bind(actor)
    .bind(action)
    .bind(target.map(|target| target.0))
    .bind(target.map(|target| target.1))
    .bind(target.map(|target| target.2))
    .bind(details)
    .execute(app.app.pool())
    .await
    .unwrap();
}

fn nothing() -> Value {
    json!({})
}
