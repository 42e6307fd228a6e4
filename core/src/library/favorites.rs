//! The prompts that users keep as their favorites.
//!
//! A favorite is a row that stays when its prompt can no longer be seen. It is hidden then, and is there again with the
//! prompt.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Verb};
use crate::actor::Caller;
use crate::bounds::{self, LimitReached, Owned};
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// Why a prompt does not become a favorite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FavoriteRefusal {
    /// There is no such prompt.
    NotFound(NotFound),
    /// The caller has as many favorites as they may have.
    LimitReached(LimitReached),
}

impl From<NotFound> for FavoriteRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

impl From<LimitReached> for FavoriteRefusal {
    fn from(reached: LimitReached) -> Self {
        Self::LimitReached(reached)
    }
}

/// Makes a prompt one of the caller's favorites. Returns whether it was none before.
pub async fn add(tx: &mut UserTx, prompt_id: Uuid) -> Result<bool, Rejected<FavoriteRefusal>> {
    bounds::lock(tx).await?;
    let prompt = sqlx::query!(
        r#"WITH prompt AS (
               SELECT id, title FROM visible_prompts WHERE id = $1
           ), added AS (
               INSERT INTO user_prompt_favorites (user_id, prompt_id) SELECT $2, id FROM prompt
               ON CONFLICT ON CONSTRAINT user_prompt_favorites_pkey DO NOTHING
               RETURNING prompt_id
           )
           SELECT title AS "title!", EXISTS (SELECT FROM added) AS "is_changed!" FROM prompt"#,
        prompt_id,
        tx.caller().user_id
    );
    let prompt = prompt.fetch_optional(&mut ***tx).await?.or_not_found::<FavoriteRefusal>(Noun::Prompt)?;
    if prompt.is_changed {
        bounds::check(tx, Owned::Favorites).await.map_err(Rejected::widen)?;
        tx.record(Action::new(Noun::Prompt, Verb::Favorited).on(prompt_id, &prompt.title))?;
    }
    Ok(prompt.is_changed)
}

/// Takes a prompt out of the caller's favorites. Returns whether it was one.
pub async fn remove(tx: &mut UserTx, prompt_id: Uuid) -> Result<bool, Rejected<NotFound>> {
    let prompt = sqlx::query!(
        r#"WITH prompt AS (
               SELECT id, title FROM visible_prompts WHERE id = $1
           ), removed AS (
               DELETE FROM user_prompt_favorites WHERE user_id = $2 AND prompt_id IN (SELECT id FROM prompt)
               RETURNING prompt_id
           )
           SELECT title AS "title!", EXISTS (SELECT FROM removed) AS "is_changed!" FROM prompt"#,
        prompt_id,
        tx.caller().user_id
    );
    let prompt = prompt.fetch_optional(&mut ***tx).await?.or_not_found::<NotFound>(Noun::Prompt)?;
    if prompt.is_changed {
        tx.record(Action::new(Noun::Prompt, Verb::Unfavorited).on(prompt_id, &prompt.title))?;
    }
    Ok(prompt.is_changed)
}

/// One of a user's favorites.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in visible_prompts::PromptSummary")]
pub struct Favorite {
    pub id: Uuid,
    pub category_id: Uuid,
    pub slug: String,
    pub title: String,
    pub summary: String,
    pub tags: Vec<String>,
    pub copy_count: i32,
    pub steps_count: i64,
    /// When it became a favorite.
    pub favorited_at: DateTime<Utc>,
}

/// Sort key of the list: when a prompt became a favorite, and its id.
pub type Key = (DateTime<Utc>, Uuid);

/// At most `limit` of the caller's favorites that can be seen, the latest first, starting after `after`.
pub async fn list(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Favorite>> {
    let (time, id) = after.unzip();
    let favorites = sqlx::query_as!(
        Favorite,
        r#"SELECT p.id AS "id!", p.category_id AS "category_id!", p.slug AS "slug!: String", p.title AS "title!",
               left(p.description, 300) AS "summary!", p.tags AS "tags!", p.copy_count AS "copy_count!",
               (SELECT count(*) FROM prompt_steps s WHERE s.prompt_id = p.id AND s.deleted_at IS NULL) AS "steps_count!",
               f.created_at AS favorited_at
           FROM user_prompt_favorites f JOIN visible_prompts p ON p.id = f.prompt_id
           WHERE f.user_id = $1
             AND (f.created_at, f.prompt_id) < (coalesce($2, 'infinity'::timestamptz),
                                                coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY f.created_at DESC, f.prompt_id DESC LIMIT $4"#,
        caller.user_id,
        time,
        id,
        limit
    );
    Ok(favorites.fetch_all(connection).await?)
}
