//! Projects that learners show each other, and likes.

pub mod likes;
pub mod projects;
