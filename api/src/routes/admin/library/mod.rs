//! The libraries, for admins.

pub mod styles;
