//! Learners' projects, their likes, and their moderation.

pub mod likes;
pub mod moderation;
pub mod own_projects;
pub mod projects;
pub mod views;
