//! Users, for admins.

use cairn_core::clock::new_id;
use cairn_core::resource;
use cairn_core::users::directory::{self, Account};
use cairn_core::users::listing::{self, Entry, Filter};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest, PersonQuery};
use crate::routes::users::me::Role;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Users, for admins.
pub struct AccountsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createUser", &[Code::ValueTaken]),
    ("updateUser", &[Code::ValueTaken, Code::LastAdmin]),
    ("suspendUser", &[Code::LastAdmin]),
    ("deleteUser", &[Code::LastAdmin]),
    ("restoreUser", &[Code::ValueTaken]),
];

const PATH: &str = "/v1/admin/users";

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "directory::UserStatus")]
pub enum UserStatus {
    /// They may.
    Active,
    /// An admin has suspended them.
    Suspended,
}

/// The order of a list of users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum UserSort {
    /// The newest first.
    #[default]
    Newest,
    /// By first and last name.
    Name,
    /// The most recently active first; those who never were last.
    LastActive,
}

view! {
    /// A user as lists show them.
    pub struct UserSummary from Entry {
        /// Identifies the user.
        id: Uuid,
        /// The email address.
        email: String,
        /// The first name.
        first_name: String,
        /// The last name; null if there is none.
        last_name: Option<String>,
        /// The role.
        role: Role,
        /// Whether they may sign in.
        status: UserStatus,
        /// The completed share of the required lessons of all started roadmaps, in whole percent; null if there are none.
        #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
        progress_percent: Option<i16>,
        /// When they were last active, to the minute; null if they never were.
        last_active_at: OptionalTime,
        /// The version, which is also the `ETag`.
        version: i64,
        /// When the account was created.
        created_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    }
}

view! {
    /// How far a user is.
    pub struct UserProgress from directory::Progress {
        /// The completed share of the required lessons of all started roadmaps, in whole percent; null if there are none.
        #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
        percent: Option<i16>,
        /// The number of completed lessons.
        #[oai(validator(minimum(value = "0")))]
        lessons_completed: i64,
        /// The number of started roadmaps.
        #[oai(validator(minimum(value = "0")))]
        roadmaps_started: i64,
        /// The number of completed roadmaps.
        #[oai(validator(minimum(value = "0")))]
        roadmaps_completed: i64,
    }
}

view! {
    /// A user as admins see them.
    pub struct AdminUser from Account {
        /// Identifies the user.
        id: Uuid,
        /// The email address.
        email: String,
        /// The first name.
        first_name: String,
        /// The last name; null if there is none.
        last_name: Option<String>,
        /// The URL of a picture; null if there is none.
        avatar_url: Option<String>,
        /// The role.
        role: Role,
        /// Whether they may sign in.
        status: UserStatus,
        /// Why they are suspended; null if no reason was given, or they are not.
        suspension_reason: Option<String>,
        /// Whether a password is set. Without one they cannot sign in until they use a reset link.
        has_password: bool,
        /// The invite that they registered with; null if there was none.
        invite_id: Option<Uuid>,
        /// How far they are.
        progress: UserProgress,
        /// When they were last active, to the minute; null if they never were.
        last_active_at: OptionalTime,
        /// The version, which is also the `ETag`.
        version: i64,
        /// When the account was created.
        created_at: Time,
        /// When it was last changed.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    }
}

fields! {
    /// A user to create. There is no password yet: create a reset link and pass it on.
    pub struct NewUser of Account {
        /// The email address. Case is ignored.
        #[oai(validator(min_length = 3, max_length = 254))]
        email: String,
        /// The first name.
        #[oai(validator(min_length = 1, max_length = 100))]
        first_name: String,
        /// The last name; null if there is none.
        #[oai(validator(min_length = 1, max_length = 100))]
        last_name: Option<String>,
        /// The role.
        role: Role,
    }
}

impl From<&NewUser> for Account {
    fn from(new: &NewUser) -> Self {
        let mut account = Self::new(new_id());
        new.set(&mut account);
        account
    }
}

/// Why somebody is suspended.
#[derive(Clone, Debug, Object)]
pub struct Suspension {
    /// The reason, for admins; null if there is none.
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: Option<String>,
}

#[OpenApi]
impl AccountsApi {
    /// List users
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    #[oai(path = "/admin/users", method = "get", operation_id = "listUsers", tag = Tag::AdminUsers)]
    async fn list_users(
        &self,
        _caller: Admin,
        /// Only users with this role.
        role: Query<Option<Role>>,
        /// Only users with this status.
        status: Query<Option<UserStatus>>,
        /// The deleted users instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        q: Query<Option<PersonQuery>>,
        /// The order.
        #[oai(default)]
        sort: Query<UserSort>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<UserSummary>>, Problem> {
        let filter = Filter {
            role: role.0.map(Into::into),
            status: status.0.map(Into::into),
            deleted: deleted.0,
            text: q.0.map(String::from),
        };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        match sort.0 {
            UserSort::Newest => {
                let rows = listing::by_newest(&mut connection, &filter, page.after()?, page.rows()).await?;
                page.answer(rows, |user| Some((user.created_at, user.id)))
            }
            UserSort::Name => {
                let rows = listing::by_name(&mut connection, &filter, page.after()?, page.rows()).await?;
                page.answer(rows, |user| Some((user.sort_name.clone(), user.id)))
            }
            UserSort::LastActive => {
                let rows = listing::by_last_active(&mut connection, &filter, page.after()?, page.rows()).await?;
                page.answer(rows, |user| Some((user.sort_active, user.id)))
            }
        }
    }

    /// Create a user
    ///
    /// Nobody knows a password of the new account. `createPasswordReset` gives the link with which its owner sets one.
    #[oai(path = "/admin/users", method = "post", operation_id = "createUser", tag = Tag::AdminUsers)]
    async fn create_user(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewUser>,
    ) -> Result<Created<AdminUser>, Problem> {
        self.app.create::<Account, _, _>(&caller, (PATH, "createUser"), key.0, &body).await
    }

    /// Get a user
    #[oai(path = "/admin/users/:user_id", method = "get", operation_id = "getUser", tag = Tag::AdminUsers)]
    async fn get_user(
        &self,
        _caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
    ) -> Result<Versioned<AdminUser>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(directory::find(&mut connection, user_id.0).await?.into()))
    }

    /// Update a user
    ///
    /// Another role ends all sessions of the user, who signs in anew. The last active admin stays one.
    #[oai(path = "/admin/users/:user_id", method = "patch", operation_id = "updateUser", tag = Tag::AdminUsers)]
    async fn update_user(
        &self,
        caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewUser>>,
    ) -> Result<Versioned<AdminUser>, Problem> {
        self.app.edit(&caller, user_id.0, version, body.edit(NewUser::set)).await
    }

    /// Suspend a user
    ///
    /// All sessions of the user end at once, and nobody can sign in to the account until it is resumed.
    #[oai(
        path = "/admin/users/:user_id/suspend",
        method = "post",
        operation_id = "suspendUser",
        tag = Tag::AdminUsers
    )]
    async fn suspend_user(
        &self,
        caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Suspension>,
    ) -> Result<Versioned<AdminUser>, Problem> {
        self.app.edit(&caller, user_id.0, version, directory::suspend(body.reason.clone())).await
    }

    /// Resume a suspended user
    ///
    /// They can sign in again. Sessions that the suspension ended stay ended.
    #[oai(path = "/admin/users/:user_id/resume", method = "post", operation_id = "resumeUser", tag = Tag::AdminUsers)]
    async fn resume_user(
        &self,
        caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminUser>, Problem> {
        self.app.edit(&caller, user_id.0, version, directory::resume()).await
    }

    /// Delete a user
    ///
    /// All sessions of the user end at once. The account can be restored; its email address can be used again meanwhile.
    #[oai(path = "/admin/users/:user_id", method = "delete", operation_id = "deleteUser", tag = Tag::AdminUsers)]
    async fn delete_user(
        &self,
        caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Account>(&caller, user_id.0, version).await
    }

    /// Restore a deleted user
    ///
    /// Refused while another account has the email address. An account that its owner deleted cannot be restored.
    #[oai(path = "/admin/users/:user_id/restore", method = "post", operation_id = "restoreUser", tag = Tag::AdminUsers)]
    async fn restore_user(
        &self,
        caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<AdminUser>, Problem> {
        self.app.edit::<Account, _>(&caller, user_id.0, version, resource::restore()).await
    }
}
