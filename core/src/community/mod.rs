//! Projects that learners show each other, and likes.

pub mod jobs;
pub mod likes;
pub mod projects;
