//! Deleting one's own account.
//!
//! ```text
//! request ──one transaction──▶ row without personal data, sessions and keys gone, projects emptied · erasures · EraseUser
//! EraseUser ──many small ones──▶ likes, facts, rollups, chats, try-outs, favorites, events gone; activity without names and addresses
//! a minute later, by the reconciler ──▶ the same once more, for requests that were under way ──▶ erasures: done
//! ```
//!
//! What is large goes in the job: a learner may have a hundred thousand activities and thousands of likes, each of which
//! marks somebody else's project, and a request has 30 s. Each step finds what is left by itself, so it can be repeated,
//! and a worker can be killed at any moment.
//!
//! The user's row stays. Its id is the pseudonym of whoever did what the activity log says, so that statistics of the past
//! remain true. Jobs of the user that run later find nothing to do, and their activities are written without names and
//! addresses ([`crate::activity::insert`]). Jobs that are done keep their payloads, with addresses, for `jobs.keep_done_hours`.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::jobs::EraseUser;
use crate::Result;
use crate::activity::{Action, Verb};
use crate::community::jobs::CountLikes;
use crate::db::{Tx, UserTx};
use crate::noun::Noun;
use crate::refusal::{OnConstraint, OrRefuse, Rejected};

/// After this time no request of the user can be under way any more. Longer than a request may take.
const SETTLED_AFTER: Duration = Duration::from_mins(1);

/// Likes that are removed in one transaction, which holds a lock on the project of each.
const LIKES: i64 = 200;

/// Activities that are changed in one transaction.
const ACTIVITIES: i64 = 2000;

/// Why an account is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionRefusal {
    /// The password was changed after it had been checked.
    PasswordChanged,
    /// The account belongs to the last active admin.
    LastAdmin,
}

/// Deletes the caller's account, whose password hash `checked` was verified. The email address can be used again at once.
pub async fn delete_me(tx: &mut UserTx, checked: Option<&str>) -> Result<(), Rejected<DeletionRefusal>> {
    let (user_id, now) = (tx.caller().user_id, tx.now());
    sqlx::query_scalar!(
        "UPDATE users SET email = id || '@deleted.invalid', email_key = id || '@deleted.invalid', password_hash = NULL, first_name = 'Deleted', last_name = NULL,
             avatar_url = NULL, invite_id = NULL, suspension_reason = NULL, deleted_at = $3, erased_at = $3
         WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND deleted_at IS NULL
         RETURNING id",
        user_id,
        checked,
        now
    )
    .fetch_optional(&mut ***tx)
    .await
    .on_constraint("users_keep_an_admin", DeletionRefusal::LastAdmin)?
    .or_refuse(DeletionRefusal::PasswordChanged)?;
    remove_access(tx, user_id).await?;
    empty_projects(tx, user_id).await?;
    // Mentors must not see them any more, whenever the chats follow.
    sqlx::query!("DELETE FROM mentor_questions WHERE user_id = $1", user_id).execute(&mut ***tx).await?;
    sqlx::query!("INSERT INTO erasures (user_id) VALUES ($1) ON CONFLICT DO NOTHING", user_id)
        .execute(&mut ***tx)
        .await?;
    tx.enqueue(&EraseUser { user_id })?;
    tx.record(Action::new(Noun::User, Verb::Deleted).on(user_id, ""))?;
    Ok(())
}

/// Erases the next part of a user's data. Returns whether there may be more.
pub async fn erase_part(tx: &mut Tx, user_id: Uuid) -> Result<bool> {
    let is_erased = sqlx::query_scalar!("SELECT id FROM users WHERE id = $1 AND erased_at IS NOT NULL", user_id);
    if is_erased.fetch_optional(&mut **tx).await?.is_none() {
        return Ok(false);
    }
    if remove_likes(tx, user_id).await? || remove_chat(tx, user_id).await? || strip_activity(tx, user_id).await? {
        return Ok(true);
    }
    remove_progress(tx, user_id).await?;
    sqlx::query!("DELETE FROM user_prompt_favorites WHERE user_id = $1", user_id).execute(&mut **tx).await?;
    sqlx::query!("DELETE FROM user_events WHERE user_id = $1", user_id).execute(&mut **tx).await?;
    sqlx::query!("DELETE FROM ai_tryouts WHERE created_by = $1", user_id).execute(&mut **tx).await?;
    sqlx::query!("DELETE FROM ai_learner_spending WHERE user_id = $1", user_id).execute(&mut **tx).await?;
    sqlx::query!("DELETE FROM ai_budget_warnings WHERE user_id = $1", user_id).execute(&mut **tx).await?;
    remove_access(tx, user_id).await?;
    empty_projects(tx, user_id).await?;
    sqlx::query!(
        "DELETE FROM erasures WHERE user_id = $1 AND requested_at < now() - make_interval(secs => $2)",
        user_id,
        SETTLED_AFTER.as_secs_f64()
    )
    .execute(&mut **tx)
    .await?;
    Ok(false)
}

/// Enqueues the erasure of users whose first one lost its job or left out what was under way then. At most once per
/// `SETTLED_AFTER` and user, unless a job ends before.
pub async fn requeue_waiting(tx: &mut Tx, limit: i64) -> Result<usize> {
    let user_ids = sqlx::query_scalar!(
        "UPDATE erasures SET queued_at = now() WHERE user_id = ANY (ARRAY(
             SELECT user_id FROM erasures
             WHERE greatest(requested_at, queued_at) < now() - make_interval(secs => $1)
             ORDER BY user_id LIMIT $2 FOR UPDATE SKIP LOCKED))
         RETURNING user_id",
        SETTLED_AFTER.as_secs_f64(),
        limit
    );
    let user_ids = user_ids.fetch_all(&mut **tx).await?;
    for user_id in &user_ids {
        tx.enqueue(&EraseUser { user_id: *user_id })?;
    }
    Ok(user_ids.len())
}

/// Removes sessions with their refresh tokens, known devices, idempotency keys with the answers in them, and one-time links.
async fn remove_access(connection: &mut PgConnection, user_id: Uuid) -> Result<()> {
    sqlx::query!("DELETE FROM sessions WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM sign_in_devices WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM idempotency_keys WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM password_resets WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM email_verifications WHERE user_id = $1", user_id).execute(connection).await?;
    Ok(())
}

/// Deletes the user's projects and removes what they wrote in them. The rows stay with the likes of others.
async fn empty_projects(connection: &mut PgConnection, user_id: Uuid) -> Result<()> {
    sqlx::query!(
        "UPDATE showcase_projects SET title = 'Deleted', summary = '', description = '', project_url = NULL,
             repository_url = NULL, cover_url = NULL, moderation_reason = NULL, deleted_at = coalesce(deleted_at, now())
         WHERE user_id = $1 AND (deleted_at IS NULL OR title <> 'Deleted' OR summary <> '' OR description <> ''
             OR num_nonnulls(project_url, repository_url, cover_url, moderation_reason) > 0)",
        user_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes some of the user's likes. The projects are counted again, as after every change of their likes.
async fn remove_likes(tx: &mut Tx, user_id: Uuid) -> Result<bool> {
    let project_ids = sqlx::query_scalar!(
        "DELETE FROM project_likes WHERE user_id = $1 AND project_id = ANY (ARRAY(
             SELECT project_id FROM project_likes WHERE user_id = $1 ORDER BY project_id LIMIT $2))
         RETURNING project_id",
        user_id,
        LIKES
    );
    let project_ids = project_ids.fetch_all(&mut **tx).await?;
    for project_id in &project_ids {
        tx.enqueue(&CountLikes { project_id: *project_id })?;
    }
    Ok(!project_ids.is_empty())
}

/// Removes one of the user's chats, with its messages and replies. A reply that is being written has nowhere to go and stops.
async fn remove_chat(connection: &mut PgConnection, user_id: Uuid) -> Result<bool> {
    let removed = sqlx::query!(
        "DELETE FROM tool_chats WHERE id = (SELECT id FROM tool_chats WHERE user_id = $1 ORDER BY id LIMIT 1)",
        user_id
    );
    Ok(removed.execute(connection).await?.rows_affected() > 0)
}

/// Removes facts, markers and rollups. The facts' trigger raises the markers and so locks them: a rollup that runs has
/// stored its numbers by then, and one that begins later finds no marker.
async fn remove_progress(connection: &mut PgConnection, user_id: Uuid) -> Result<()> {
    sqlx::query!("DELETE FROM user_lesson_progress WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM user_lesson_task_progress WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("SELECT FROM progress_dirty WHERE user_id = $1 ORDER BY roadmap_id FOR UPDATE", user_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM progress_dirty WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM user_stage_progress WHERE user_id = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM user_roadmap_progress WHERE user_id = $1", user_id).execute(connection).await?;
    Ok(())
}

/// Removes addresses from some of what the user did, and names and details from some of what was done to them and their
/// projects.
async fn strip_activity(connection: &mut PgConnection, user_id: Uuid) -> Result<bool> {
    let by_them = sqlx::query!(
        "UPDATE activity_log SET ip = NULL, user_agent = NULL
         WHERE actor_id = $1 AND num_nonnulls(ip, user_agent) > 0
           AND occurred_at <= coalesce((
               SELECT occurred_at FROM activity_log WHERE actor_id = $1 AND num_nonnulls(ip, user_agent) > 0
               ORDER BY occurred_at OFFSET $2 LIMIT 1), 'infinity')",
        user_id,
        ACTIVITIES
    );
    let by_them = by_them.execute(&mut *connection).await?.rows_affected();
    let mut targets = sqlx::query_scalar!("SELECT id FROM showcase_projects WHERE user_id = $1", user_id)
        .fetch_all(&mut *connection)
        .await?;
    targets.push(user_id);
    let to_them = sqlx::query!(
        "UPDATE activity_log SET target_title = NULL, metadata = '{}'
         WHERE target_id = ANY ($1) AND target_id IS NOT NULL AND (target_title IS NOT NULL OR metadata <> '{}')
           AND occurred_at <= coalesce((
               SELECT occurred_at FROM activity_log
               WHERE target_id = ANY ($1) AND target_id IS NOT NULL AND (target_title IS NOT NULL OR metadata <> '{}')
               ORDER BY occurred_at OFFSET $2 LIMIT 1), 'infinity')",
        &targets,
        ACTIVITIES
    );
    let to_them = to_them.execute(connection).await?.rows_affected();
    Ok(by_them + to_them > 0)
}
