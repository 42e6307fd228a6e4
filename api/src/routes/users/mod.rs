//! Getting in, staying in, and oneself.

pub mod auth;
pub mod me;
