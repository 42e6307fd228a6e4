//! Idempotency keys, which make requests that create something repeatable. The same key and body get the same answer; the
//! same key with another body is refused.

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Error, Result};

/// A hash of a request. Two requests with the same fingerprint are considered the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a request to `path` with this body. The order of the body's members is ignored.
    pub fn of(path: &str, body: &Value) -> Self {
        let mut body = body.clone();
        body.sort_all_objects();
        let mut hash = Sha256::new();
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(body.to_string().as_bytes());
        Self(hash.finalize().into())
    }
}

/// The result of claiming a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The key was unused, and this transaction has claimed it. It must [`store`] the answer before it commits.
    New,
    /// The same request was answered before; this is the answer.
    Answered(Value),
    /// The key was used for another request.
    Reused,
}

/// Claims `key` for a request of a user. If another transaction has claimed the same key, waits until it ends.
pub async fn claim(
    connection: &mut PgConnection,
    user_id: Uuid,
    operation: &str,
    key: &str,
    fingerprint: Fingerprint,
) -> Result<Claim> {
    let claimed = sqlx::query!(
        "INSERT INTO idempotency_keys (user_id, operation, key, request_hash) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING",
        user_id,
        operation,
        key,
        &fingerprint.0
    )
    .execute(&mut *connection)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(Claim::New);
    }
    let stored = sqlx::query!(
        "SELECT request_hash, response FROM idempotency_keys WHERE user_id = $1 AND operation = $2 AND key = $3",
        user_id,
        operation,
        key
    )
    .fetch_one(connection)
    .await?;
    if stored.request_hash != fingerprint.0 {
        return Ok(Claim::Reused);
    }
    stored
        .response
        .map(Claim::Answered)
        .ok_or_else(|| Error::message("an idempotency key was stored without an answer"))
}

/// Stores the answer to a request whose key was claimed in this transaction.
pub async fn store(
    connection: &mut PgConnection,
    user_id: Uuid,
    operation: &str,
    key: &str,
    answer: &Value,
) -> Result<()> {
    let stored = sqlx::query!(
        "UPDATE idempotency_keys SET response = $4 WHERE user_id = $1 AND operation = $2 AND key = $3
         AND response IS NULL",
        user_id,
        operation,
        key,
        answer
    )
    .execute(connection)
    .await?;
    if stored.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Error::message("an answer was to be stored for an idempotency key that is not claimed"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_members_does_not_change_the_fingerprint() {
        let body = json!({"a": 1, "b": {"c": 2, "d": 3}});
        let same: Value = serde_json::from_str(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#).unwrap();
        assert_eq!(Fingerprint::of("/x", &body), Fingerprint::of("/x", &same));
        assert_ne!(Fingerprint::of("/x", &body), Fingerprint::of("/y", &body));
        assert_ne!(Fingerprint::of("/x", &body), Fingerprint::of("/x", &json!({"a": 1})));
    }
}
