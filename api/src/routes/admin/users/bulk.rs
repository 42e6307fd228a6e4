//! One action on many users.

use cairn_core::users::bulk::{self, BATCH_SIZE, BulkAction, BulkOutcome};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::Body;
use crate::routes::users::me::Role;
use crate::{App, Problem};

/// One action on many users.
pub struct BulkUsersApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// What is done to each user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum UserAction {
    /// Suspend them.
    Suspend,
    /// End their suspension.
    Resume,
    /// Delete them, so that they can be restored.
    Delete,
    /// Give them the role in `role`.
    SetRole,
}

/// An action on many users.
#[derive(Clone, Debug, Object)]
pub struct UserBatch {
    /// The users. An id that is repeated counts once.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub ids: Vec<Uuid>,
    /// What is done to each of them.
    pub action: UserAction,
    /// The new role; null unless the action is `set_role`.
    pub role: Option<Role>,
    /// Why they are suspended, for admins; null unless the action is `suspend`.
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: Option<String>,
}

/// What happened to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "BulkOutcome")]
pub enum UserOutcome {
    /// They were changed.
    Changed,
    /// They were so already.
    Unchanged,
    /// There is no such user.
    NotFound,
    /// They are deleted, and can only be restored.
    Deleted,
    /// They are the last active admin.
    LastAdmin,
}

/// What happened to one user.
#[derive(Clone, Debug, Object)]
pub struct UserResult {
    /// Identifies the user.
    pub id: Uuid,
    /// What happened.
    pub outcome: UserOutcome,
}

/// What happened to each user.
#[derive(Clone, Debug, Object)]
pub struct UserBatchResult {
    /// One entry for each distinct id, in the order of the request.
    pub results: Vec<UserResult>,
    /// How many users were changed.
    #[oai(validator(minimum(value = "0")))]
    pub changed_count: u32,
}

const _: () = assert!(BATCH_SIZE == 100, "as the document says");

#[OpenApi]
impl BulkUsersApi {
    /// Update many users
    ///
    /// Suspends, resumes or deletes up to 100 users, or gives them a role, as the operations for one user do. The answer
    /// says of each what happened; who cannot be changed does not keep the others from it. The last active admin stays one.
    #[oai(path = "/admin/users/bulk", method = "post", operation_id = "updateUsers", tag = Tag::AdminUsers)]
    async fn update_users(&self, caller: Admin, body: Body<UserBatch>) -> Result<Json<UserBatchResult>, Problem> {
        let action = action(&body)?;
        let mut tx = self.app.begin_as(&caller).await?;
        let outcomes = bulk::apply(&mut tx, &action, &body.ids).await?;
        tx.commit().await?;
        let results: Vec<UserResult> =
            outcomes.into_iter().map(|(id, outcome)| UserResult { id, outcome: outcome.into() }).collect();
        let changed = results.iter().filter(|result| result.outcome == UserOutcome::Changed).count();
        Ok(Json(UserBatchResult { results, changed_count: u32::try_from(changed).unwrap_or(u32::MAX) }))
    }
}

/// The action with what belongs to it, and nothing else.
fn action(body: &UserBatch) -> Result<BulkAction, Problem> {
    if body.role.is_some() && body.action != UserAction::SetRole {
        return Err(Problem::invalid_field(
            "/role",
            "not_allowed",
            "A role is expected with the action set_role only.",
        ));
    }
    if body.reason.is_some() && body.action != UserAction::Suspend {
        let message = "A reason is expected with the action suspend only.";
        return Err(Problem::invalid_field("/reason", "not_allowed", message));
    }
    Ok(match (body.action, body.role) {
        (UserAction::Suspend, _) => BulkAction::Suspend(body.reason.clone()),
        (UserAction::Resume, _) => BulkAction::Resume,
        (UserAction::Delete, _) => BulkAction::Delete,
        (UserAction::SetRole, Some(role)) => BulkAction::SetRole(role.into()),
        (UserAction::SetRole, None) => {
            return Err(Problem::invalid_field("/role", "required", "The action set_role needs a role."));
        }
    })
}
