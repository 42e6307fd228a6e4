//! Accounts.

use serde_json::json;

use super::clean;
use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{State, id_for};
use crate::users::rules::{Email, PersonName};
use crate::users::stored_hash::StoredHash;

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
        state.add_email(&email_key, plan.id);
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
    if is_live && state.owner(email.key()).is_some_and(|other| other != plan.id) {
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

/// Whether sign-in can compare a password with the hash. What begins like a hash and is none would let nobody in, and nobody would
/// know why.
fn is_readable(hash: &str) -> bool {
    hash.len() <= LONGEST_HASH && StoredHash::parse(hash).is_some()
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

#[cfg(test)]
mod tests {
    use super::is_readable;
    use crate::users::passwords::{Passwords, Verdict};

    /// What counts as readable here must be what sign-in can read: otherwise an account has a hash that lets nobody in.
    #[tokio::test]
    async fn a_hash_is_readable_if_sign_in_can_read_it() {
        let bcrypt = "$2b$04$mr/6q9kPg7ecDToCaacj3e6JpFrBSnfjZ4vWj7fZwz.k2OJgvZYc6";
        let argon2 = "$argon2id$v=19$m=1024,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM";
        let passwords = Passwords::patient();
        for (hash, expected) in [
            (bcrypt.to_owned(), true),
            (bcrypt.replacen("2b", "2a", 1), true),
            (bcrypt.replacen("2b", "2y", 1), true),
            (bcrypt.replacen("2b", "2x", 1), false),
            (bcrypt.replacen("2b", "2z", 1), false),
            (bcrypt.replacen("$04$", "$03$", 1), false),
            (bcrypt.replacen("$04$", "$15$", 1), false),
            (bcrypt.replacen("$04$", "$99$", 1), false),
            (bcrypt.replacen("$04$", "$x5$", 1), false),
            (bcrypt.replacen("mr/6", "mr!6", 1), false),
            (bcrypt[..59].to_owned(), false),
            (format!("{bcrypt}."), false),
            (argon2.to_owned(), true),
            (argon2.replacen("argon2id", "argon2i", 1), true),
            (argon2.replacen("argon2id", "argon2x", 1), false),
            (argon2.replacen("v=19", "v=7", 1), false),
            (argon2.replacen("$v=19", "", 1), true),
            (argon2.replacen("m=1024", "m=524288", 1), false),
            (argon2.replacen("t=2", "t=21", 1), false),
            (argon2.replacen("p=1", "p=17", 1), false),
            (argon2.replacen("bm8gcGFzc3dvcmQgaGVyZQ", "bm8", 1), false),
            (argon2[..60].to_owned(), false),
            ("$argon2id$".to_owned(), false),
            ("plaintext".to_owned(), false),
        ] {
            assert_eq!(is_readable(&hash), expected, "{hash}");
            let verdict = passwords.verify("another password", Some(&hash)).await.unwrap();
            assert_eq!(verdict != Verdict::Unreadable, expected, "{hash}");
        }
    }
}
