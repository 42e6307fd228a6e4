//! How much one user may own, so that nobody can fill the platform for the others.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::db::UserTx;
use crate::refusal::Rejected;

/// What users own any number of, up to a bound. Chats are bounded by the number of tools, and open replies and questions a day by
/// settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    /// Projects that are not deleted.
    Projects,
    /// Projects, the deleted ones included, which can be restored.
    ProjectsEver,
    /// Prompts that are favorites.
    Favorites,
}

impl Owned {
    /// How many one user may have.
    pub const fn limit(self) -> i64 {
        match self {
            Self::Projects => 200,
            Self::ProjectsEver | Self::Favorites => 1000,
        }
    }

    async fn count(self, connection: &mut PgConnection, user_id: Uuid) -> Result<i64> {
        let beyond = self.limit() + 1;
        let count = match self {
            Self::Projects => {
                sqlx::query_scalar!(
                    r#"SELECT count(*) AS "count!" FROM (
                       SELECT FROM showcase_projects WHERE user_id = $1 AND deleted_at IS NULL LIMIT $2) p"#,
                    user_id,
                    beyond
                )
                .fetch_one(connection)
                .await
            }
            Self::ProjectsEver => {
                sqlx::query_scalar!(
                    r#"SELECT count(*) AS "count!" FROM (SELECT FROM showcase_projects WHERE user_id = $1 LIMIT $2) p"#,
                    user_id,
                    beyond
                )
                .fetch_one(connection)
                .await
            }
            Self::Favorites => sqlx::query_scalar!(
                r#"SELECT count(*) AS "count!" FROM (SELECT FROM user_prompt_favorites WHERE user_id = $1 LIMIT $2) f"#,
                user_id,
                beyond
            )
            .fetch_one(connection)
            .await,
        };
        Ok(count?)
    }
}

/// The user has as many as they may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// How many that is.
    pub limit: i64,
}

/// Waits until no other transaction of the caller adds something that is bounded. Must come before what is added, so that the
/// count afterwards sees what others have added.
pub async fn lock(tx: &mut UserTx) -> Result<()> {
    let user_id = tx.caller().user_id;
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('bounds of ' || $1::text, 0))", user_id.to_string())
        .execute(&mut ***tx)
        .await?;
    Ok(())
}

/// Refuses if the caller has more than they may have, with what the transaction has added.
pub async fn check(tx: &mut UserTx, owned: Owned) -> Result<(), Rejected<LimitReached>> {
    let user_id = tx.caller().user_id;
    if owned.count(tx, user_id).await? > owned.limit() {
        return Err(Rejected::Refused(LimitReached { limit: owned.limit() }));
    }
    Ok(())
}
