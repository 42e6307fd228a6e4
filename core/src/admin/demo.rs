//! What `cairn dev` puts into its own database so that there is something to try: accounts and an invite whose secrets
//! are written in the README. Never called for any other database.

use sqlx::PgConnection;

use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::clock::{Clock, new_id};
use crate::db::Tx;
use crate::users::Role;

/// The password of every demo account.
pub const PASSWORD: &str = "cairn-demo-2026";

/// The code of an invite for learners that can be used a thousand times, again after each start.
pub const INVITE_CODE: &str = "demo-invite-cairn-2026";

/// The demo accounts: address, first name, role.
pub const ACCOUNTS: [(&str, &str, Role); 3] = [
    ("admin@demo.test", "Demo Admin", Role::Admin),
    ("mentor@demo.test", "Demo Mentor", Role::Mentor),
    ("learner@demo.test", "Demo Learner", Role::Student),
];

/// Whether nobody has an account yet, not even a deleted one.
pub async fn nobody_is_here(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT NOT EXISTS (SELECT FROM users) AS "empty!""#).fetch_one(connection).await?)
}

/// Whether there is no roadmap yet, not even a deleted one.
pub async fn nothing_to_learn(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT NOT EXISTS (SELECT FROM roadmaps) AS "empty!""#).fetch_one(connection).await?)
}

/// Makes the demo accounts; those whose address is taken are left as they are. `password_hash` is of [`PASSWORD`].
pub async fn create_accounts(tx: &mut Tx, clock: &Clock, password_hash: &str) -> Result<()> {
    for (email, first_name, role) in ACCOUNTS {
        let id = sqlx::query_scalar!(
            "INSERT INTO users (id, email, first_name, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (lower(email)) WHERE deleted_at IS NULL DO NOTHING
             RETURNING id",
            new_id(),
            email,
            first_name,
            role as Role,
            password_hash,
            clock.now()
        )
        .fetch_optional(&mut **tx)
        .await?;
        if let Some(id) = id {
            let target = Target::new("user", id, first_name);
            Event::of(Some(id), clock, Action::UserRegistered, Some(target)).record(tx)?;
        }
    }
    Ok(())
}

/// Makes the demo invite, or gives it a thousand uses again.
pub async fn renew_invite(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!(
        "INSERT INTO invite_links (id, code, note, max_uses) VALUES ($1, $2, 'Demo', 1000)
         ON CONFLICT (code) DO UPDATE SET max_uses = least(100000, invite_links.uses + 1000)",
        new_id(),
        INVITE_CODE
    )
    .execute(connection)
    .await?;
    Ok(())
}
