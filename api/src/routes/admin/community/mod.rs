//! The community, for admins.

pub mod projects;
