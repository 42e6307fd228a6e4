//! Accounts.

use serde_json::json;

use super::clean;
use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{State, id_for};
use crate::users::rules::{Email, PersonName};

/// How long the hash of a password may be.
const LONGEST_HASH: usize = 500;

/// An account. It is carried over whatever is wrong with it, because a learner's work hangs on it; an address that cannot be used
/// is replaced by one that nobody has, until an admin gives the account another.
pub(super) fn user(row: &Row, state: &mut State) -> Verdict {
    let key = row.key();
    let mut plan = Plan::new(id_for(&key));
    let deleted_at = row.deleted(state.now, &mut plan.notes);
    let address = address(row, state, &mut plan, deleted_at.is_none());
    let verified = address.is_some() && row.flag("email_verified") == Some(true);
    let (email, email_key) = address.unwrap_or_else(|| {
        let none = format!("{}@adopted.invalid", plan.id);
        (none.clone(), none)
    });
    if deleted_at.is_none() {
        state.emails.insert(email_key.clone(), plan.id);
    }
    let (first_name, last_name) = names(row, &mut plan.notes);
    let (created_at, updated_at) = (row.created(state.now), row.updated(state.now));
    let user = json!({
        "id": plan.id, "email": email, "email_key": email_key, "password_hash": password_hash(row, &mut plan.notes),
        "first_name": first_name, "last_name": last_name,
        "avatar_url": clean::url("avatar_url", row.text("avatar_url"), &mut plan.notes),
        "role": role(row, &mut plan.notes), "status": status(row, &mut plan.notes), "suspension_reason": null,
        "last_active_at": row.time_of(&["last_active_at", "last_login_at"]),
        "email_verified_at": verified.then_some(created_at), "version": 1, "created_at": created_at, "updated_at": updated_at,
        "deleted_at": deleted_at,
    });
    plan.insert(Target::Users, user);
    Verdict::Map(plan)
}

/// The address and its key; `None` if it is no address today, or another account has it. Of several accounts with one address, the
/// first that is read keeps it: that is the one that was active last.
fn address(row: &Row, state: &State, plan: &mut Plan, is_live: bool) -> Option<(String, String)> {
    let Some(email) = row.text("email").as_deref().and_then(Email::parse) else {
        plan.notes.push(
            "email: not a valid address; the account has ID@adopted.invalid until an admin gives it another".to_owned(),
        );
        return None;
    };
    if is_live && state.emails.get(email.key()).is_some_and(|other| *other != plan.id) {
        plan.notes.push(
            "email: another account has this address, written in the same or another way; the account has ID@adopted.invalid \
             until an admin gives it another"
                .to_owned(),
        );
        return None;
    }
    Some((email.as_str().to_owned(), email.key().to_owned()))
}

fn names(row: &Row, notes: &mut Vec<String>) -> (String, Option<String>) {
    let parse = |column, text, notes: &mut Vec<String>| {
        let name = clean::title(column, text, 100, notes)?;
        PersonName::parse(&name).map(|name| name.as_str().to_owned())
    };
    let first = parse("first_name", row.text_of(&["first_name", "name", "full_name"]), notes).unwrap_or_else(|| {
        notes.push("first_name: none that can be seen; the account is called Learner".to_owned());
        "Learner".to_owned()
    });
    (first, parse("last_name", row.text("last_name"), notes))
}

/// A hash that sign-in can check: bcrypt or Argon2. Others are left out, and their owners ask for a link.
fn password_hash(row: &Row, notes: &mut Vec<String>) -> Option<String> {
    let hash = row.text("password_hash").or_else(|| row.text("password"));
    match hash {
        Some(hash) if is_readable(&hash) => Some(hash),
        _ => {
            notes.push(
                "password_hash: no hash by bcrypt (cost 14 at most) or Argon2; a new password is needed to sign in"
                    .to_owned(),
            );
            None
        }
    }
}

fn is_readable(hash: &str) -> bool {
    let cost =
        ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| hash.strip_prefix(prefix)?.get(..2)?.parse::<u32>().ok());
    hash.len() <= LONGEST_HASH && (cost.is_some_and(|cost| (4..=14).contains(&cost)) || hash.starts_with("$argon2"))
}

/// Whoever was kept out is kept out: only words that are known to let somebody in do so.
fn status(row: &Row, notes: &mut Vec<String>) -> &'static str {
    match row.word("status").as_deref() {
        None | Some("active" | "stalled" | "completed") => "active",
        Some("inactive" | "suspended") => "suspended",
        Some(_) => {
            notes.push(
                "status: a word that is not known; the account is suspended until an admin restores it".to_owned(),
            );
            "suspended"
        }
    }
}

fn role(row: &Row, notes: &mut Vec<String>) -> &'static str {
    match row.word("role").as_deref() {
        Some("admin") => "admin",
        Some("mentor") => "mentor",
        None | Some("student") => "student",
        Some(_) => {
            notes.push("role: neither student, mentor nor admin; the account is a student".to_owned());
            "student"
        }
    }
}
