//! Registration, sessions and accounts.

use cairn_api::Code::SessionNotFound;

use super::table::Access::{Admins, Members, Owner, Public};
use super::table::{Row, row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("register", Public, 9).body(r#"{"email": "new-{caller}@example.test", "password": "correct horse battery", "first_name": "New", "invite_code": "the-code-of-invite-1"}"#),
    row("login", Public, 14).body(r#"{"email": "learner@example.test", "password": "correct horse battery"}"#),
    row("refreshSession", Public, 5).body(r#"{"refresh_token": "refresh {caller}"}"#),
    row("resetPassword", Public, 8).body(r#"{"token": "reset {caller}", "new_password": "another horse battery"}"#),
    row("requestPasswordReset", Public, 3).body(r#"{"email": "learner@example.test"}"#),
    row("verifyEmail", Public, 3).body(r#"{"token": "verify {caller}"}"#),
    row("logout", Members, 5),
    row("requestEmailVerification", Members, 3),

    row("getMe", Members, 2),
    row("updateMe", Members, 6).body(r#"{"first_name": "Changed"}"#),
    row("deleteMe", Members, 16).body(r#"{"password": "correct horse battery"}"#),
    row("exportMyData", Members, 27),
    row("changePassword", Members, 11).body(r#"{"current_password": "correct horse battery", "new_password": "another horse battery"}"#),
    row("listMySessions", Members, 2),
    row("revokeMyOtherSessions", Members, 5),
    row("revokeMySession", Owner(SessionNotFound), 5),
    row("streamMyEvents", Members, 2).endless(),
    row("listMyActivity", Members, 2),

    row("listUsers", Admins, 2),
    row("createUser", Admins, 4).body(r#"{"email": "new@example.test", "first_name": "New", "role": "mentor"}"#),
    row("getUser", Admins, 2),
    row("updateUser", Admins, 5).body(r#"{"role": "mentor"}"#),
    row("deleteUser", Admins, 5),
    row("suspendUser", Admins, 5).body("{}"),
    row("resumeUser", Admins, 5).given(&[("user_id", "$user suspended"), ("If-Match", "\"2\"")]),
    row("restoreUser", Admins, 5).given(&[("user_id", "$user deleted"), ("If-Match", "\"2\"")]),
    row("updateUsers", Admins, 6).body(r#"{"ids": "$all students", "action": "suspend"}"#),
    row("createPasswordReset", Admins, 5),
    row("listInvites", Admins, 2),
    row("createInvite", Admins, 4).body(r#"{"role": "student"}"#),
    row("getInvite", Admins, 2),
    row("updateInvite", Admins, 5).body(r#"{"note": "Changed"}"#),
    row("revokeInvite", Admins, 5),
];
