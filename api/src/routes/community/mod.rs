//! What learners show each other.

pub mod likes;
pub mod projects;
