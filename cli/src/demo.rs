//! The demo accounts and the demo invite, which `cairn dev` adds to its embedded database. Their secrets are in the README, so
//! they are never added to any other database.

use cairn_core::actor::Role;
use cairn_core::db::Tx;
use cairn_core::refusal::Rejected;
use cairn_core::users::accounts::{self, NewAccount, RegistrationRefusal};
use cairn_core::users::rules::{Email, PersonName};

/// The password of every demo account.
pub(crate) const PASSWORD: &str = "cairn-demo-2026";

/// The code of an invite for learners. It can be used a thousand times after each start.
pub(crate) const INVITE_CODE: &str = "demo-invite-cairn-2026";

/// The demo accounts: email address, first name and role.
pub(crate) const ACCOUNTS: [(&str, &str, Role); 3] = [
    ("admin@demo.test", "Demo Admin", Role::Admin),
    ("mentor@demo.test", "Demo Mentor", Role::Mentor),
    ("learner@demo.test", "Demo Learner", Role::Student),
];

/// Creates the demo accounts. `password_hash` is the hash of [`PASSWORD`].
pub(crate) async fn create_accounts(tx: &mut Tx, password_hash: &str) -> Result<(), Rejected<RegistrationRefusal>> {
    for (email, first_name, role) in ACCOUNTS {
        let Some((email, first_name)) = Email::parse(email).zip(PersonName::parse(first_name)) else { continue };
        let account = NewAccount { email, first_name, last_name: None, password_hash: password_hash.to_owned() };
        accounts::create(tx, &account, role).await?;
    }
    Ok(())
}
