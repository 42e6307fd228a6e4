//! Users and invites, for admins.

pub mod accounts;
pub mod bulk;
pub mod invites;
pub mod password_resets;
