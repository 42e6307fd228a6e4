//! The keys of email addresses, compared with those that the program computes. SQL cannot compute them, so all addresses are
//! read, a few thousand at a time.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::found::Found;
use super::report::Kind;
use super::row::DifferenceRow;
use crate::Result;
use crate::users::rules::Email;

/// How many addresses a statement reads.
const CHUNK: i64 = 5000;

/// Compares the key of every account, deleted or not. Addresses that stand for none are left out.
pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<DifferenceRow>> {
    let (mut found, mut after) = (Found::new(Kind::EmailKey), Uuid::nil());
    loop {
        let chunk = sqlx::query!(
            "SELECT id, email, email_key FROM users WHERE id > $1 AND erased_at IS NULL ORDER BY id LIMIT $2",
            after,
            CHUNK
        );
        let chunk = chunk.fetch_all(&mut *connection).await?;
        let Some(last) = chunk.last() else { return Ok(found.into_rows()) };
        after = last.id;
        let (mut ids, mut stored, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for row in &chunk {
            let key = Email::parse(&row.email).map(|email| email.key().to_owned());
            if key.as_ref() != Some(&row.email_key) {
                ids.push(json!({ "user_id": row.id }));
                stored.push(json!({ "email_key": row.email_key }));
                expected.push(key.map_or(Value::Null, |key| json!({ "email_key": key })));
            }
        }
        found.add(ids, stored, expected);
    }
}

/// How many accounts nobody can sign in to, because the key of their address is not the one that the program computes.
pub async fn foreign_email_keys(connection: &mut PgConnection) -> Result<i64> {
    Ok(all(connection).await?.first().map_or(0, |row| row.total))
}
