//! One action of an admin on many accounts.

use sqlx::PgConnection;
use uuid::Uuid;

use super::directory::{Account, UserStatus, lock_all};
use crate::Result;
use crate::activity::Verb;
use crate::actor::Role;
use crate::db::Tx;
use crate::resource;

/// The most accounts of one call.
pub const BATCH_SIZE: usize = 100;

/// What is done to each of the accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkAction {
    /// Suspends them, for this reason.
    Suspend(Option<String>),
    /// Ends their suspension.
    Resume,
    /// Deletes them, so that they can be restored.
    Delete,
    /// Gives them this role.
    SetRole(Role),
}

/// What happened to one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkOutcome {
    /// It was changed.
    Changed,
    /// It was so already.
    Unchanged,
    /// There is no such account.
    NotFound,
    /// It is deleted, and can only be restored.
    Deleted,
    /// It belongs to the last active admin.
    LastAdmin,
}

impl BulkAction {
    const fn verb(&self) -> Verb {
        match self {
            Self::Suspend(_) => Verb::Suspended,
            Self::Resume => Verb::Resumed,
            Self::Delete => Verb::Deleted,
            Self::SetRole(_) => Verb::Updated,
        }
    }

    /// Whether the action would change the account.
    fn changes(&self, account: &Account) -> bool {
        match self {
            Self::Suspend(_) => account.status == UserStatus::Active,
            Self::Resume => account.status == UserStatus::Suspended,
            Self::Delete => true,
            Self::SetRole(role) => account.role != *role,
        }
    }

    /// Whether an active admin would no longer be one.
    fn removes_admins(&self) -> bool {
        match self {
            Self::Suspend(_) | Self::Delete => true,
            Self::Resume => false,
            Self::SetRole(role) => *role != Role::Admin,
        }
    }
}

/// Applies an action to accounts, in one statement for all. Returns what happened to each distinct id, in the order given.
///
/// Nobody names versions here: the action says how things are to be, not what is to be changed.
pub async fn apply(tx: &mut Tx, action: &BulkAction, ids: &[Uuid]) -> Result<Vec<(Uuid, BulkOutcome)>> {
    let accounts = lock_all(tx, ids).await?;
    let mut outcomes: Vec<(Uuid, BulkOutcome)> = Vec::with_capacity(ids.len());
    for id in ids {
        if outcomes.iter().all(|(seen, _)| seen != id) {
            let account = accounts.iter().find(|account| account.id == *id);
            outcomes.push((*id, account.map_or(BulkOutcome::NotFound, |account| outcome(action, account))));
        }
    }
    spare_last_admin(tx, action, &accounts, &mut outcomes).await?;
    let chosen: Vec<Uuid> =
        outcomes.iter().filter(|(_, outcome)| *outcome == BulkOutcome::Changed).map(|(id, _)| *id).collect();
    change(tx, action, &chosen).await?;
    for after in lock_all(tx, &chosen).await? {
        let before = accounts.iter().find(|account| account.id == after.id);
        resource::record(tx, action.verb(), before, &after, None)?;
    }
    Ok(outcomes)
}

fn outcome(action: &BulkAction, account: &Account) -> BulkOutcome {
    match (account.deleted_at, action) {
        (Some(_), BulkAction::Delete) => BulkOutcome::Unchanged,
        (Some(_), _) => BulkOutcome::Deleted,
        (None, _) if action.changes(account) => BulkOutcome::Changed,
        (None, _) => BulkOutcome::Unchanged,
    }
}

/// Leaves one active admin as they are if all others would go. The constraint on the table would refuse the whole call.
async fn spare_last_admin(
    connection: &mut PgConnection,
    action: &BulkAction,
    accounts: &[Account],
    outcomes: &mut [(Uuid, BulkOutcome)],
) -> Result<()> {
    let is_admin = |id: Uuid| {
        accounts
            .iter()
            .any(|account| account.id == id && account.role == Role::Admin && account.status == UserStatus::Active)
    };
    let leaving: Vec<Uuid> = outcomes
        .iter()
        .filter(|(id, outcome)| *outcome == BulkOutcome::Changed && action.removes_admins() && is_admin(*id))
        .map(|(id, _)| *id)
        .collect();
    if leaving.is_empty() {
        return Ok(());
    }
    // The lock of the trigger keep_an_admin. The statement after it sees what the holder before has committed.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('users: keep an admin', 0))")
        .execute(&mut *connection)
        .await?;
    let others = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at IS NULL
               AND id <> ALL ($1)) AS "others!""#,
        &leaving
    );
    if !others.fetch_one(connection).await?
        && let Some((_, outcome)) = outcomes.iter_mut().find(|(id, _)| *id == leaving[0])
    {
        *outcome = BulkOutcome::LastAdmin;
    }
    Ok(())
}

async fn change(tx: &mut Tx, action: &BulkAction, ids: &[Uuid]) -> Result<()> {
    let (mut role, mut status, mut reason, mut deleted_at) = (None, None, None, None);
    match action {
        BulkAction::Suspend(why) => (status, reason) = (Some(UserStatus::Suspended), why.as_deref()),
        BulkAction::Resume => status = Some(UserStatus::Active),
        BulkAction::Delete => deleted_at = Some(tx.now()),
        BulkAction::SetRole(new) => role = Some(*new),
    }
    sqlx::query!(
        "UPDATE users SET role = coalesce($2, role), status = coalesce($3, status),
             suspension_reason = CASE WHEN $3 IS NULL THEN suspension_reason ELSE $4 END,
             deleted_at = coalesce($5, deleted_at)
         WHERE id = ANY ($1)",
        ids,
        role as Option<Role>,
        status as Option<UserStatus>,
        reason,
        deleted_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
