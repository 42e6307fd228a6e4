//! Projects that learners show to each other, and their likes.

pub mod jobs;
pub mod likes;
pub mod projects;
