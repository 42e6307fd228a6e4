//! Projects that learners show to each other, their likes, and their moderation.

pub mod jobs;
pub mod likes;
pub mod moderation;
pub mod projects;
pub mod showcase;
pub mod trending;
