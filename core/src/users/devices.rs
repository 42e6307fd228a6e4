//! Devices on which somebody has signed in.
//!
//! A sign-in returns a token of 256 random bits, which the client keeps and sends with the next sign-in. It gives no access:
//! a device that is known has a counter of wrong passwords of its own ([`super::attempts`]), so somebody who guesses a
//! password elsewhere cannot lock its owner out. Each sign-in replaces the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::Email;
use super::sessions::hash;
use crate::Result;
use crate::db::Tx;

/// How long a device stays known without a sign-in.
const DEVICE_LIFETIME: TimeDelta = TimeDelta::days(180);

/// How long the token of a reset link stands for a device, after the link was used.
const RESET_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// How many devices of one user are known. The oldest is forgotten.
const MAX_DEVICES: i64 = 10;

/// A device that the owner of an account has signed in on. It holds the hash of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device([u8; 32]);

impl Device {
    /// What identifies the device.
    pub(super) const fn hash(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The device with this token, if the owner of the account with this address has signed in on it.
pub async fn find(
    connection: &mut PgConnection,
    token: &str,
    email: &Email,
    now: DateTime<Utc>,
) -> Result<Option<Device>> {
    let device = Device(hash(token));
    let found = sqlx::query!(
        "SELECT FROM sign_in_devices d JOIN users u ON u.id = d.user_id
         WHERE d.token_hash = $1 AND d.expires_at > $2 AND u.email_key = $3 AND u.deleted_at IS NULL",
        device.hash(),
        now,
        email.key()
    );
    Ok(found.fetch_optional(connection).await?.map(|_| device))
}

/// Remembers the device of a sign-in, instead of `known`, and returns its new token. Of two sign-ins at once, one may leave a
/// device too many, which the next one forgets.
pub async fn remember(tx: &mut Tx, user_id: Uuid, known: Option<&Device>) -> Result<String> {
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    insert(tx, user_id, &hash(&token), known, DEVICE_LIFETIME).await?;
    Ok(token)
}

/// Lets the token of a reset link, with which the user has just set a password, stand for a device, and forgets all others.
pub(super) async fn remember_reset(tx: &mut Tx, user_id: Uuid, token: &str) -> Result<()> {
    sqlx::query!("DELETE FROM sign_in_devices WHERE user_id = $1", user_id).execute(&mut **tx).await?;
    insert(tx, user_id, &hash(token), None, RESET_LIFETIME).await
}

async fn insert(
    tx: &mut Tx,
    user_id: Uuid,
    token_hash: &[u8; 32],
    replaced: Option<&Device>,
    lifetime: TimeDelta,
) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "WITH forgotten AS (
             DELETE FROM sign_in_devices WHERE token_hash = $3 OR token_hash IN (
                 SELECT token_hash FROM sign_in_devices WHERE user_id = $1 AND token_hash IS DISTINCT FROM $3
                 ORDER BY created_at DESC, token_hash OFFSET $6)
         )
         INSERT INTO sign_in_devices (token_hash, user_id, created_at, expires_at) VALUES ($2, $1, $4, $5)",
        user_id,
        token_hash,
        replaced.map(|device| device.hash().as_slice()),
        now,
        now + lifetime,
        MAX_DEVICES - 1
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
