//! Platform settings, for admins.

pub mod platform;
