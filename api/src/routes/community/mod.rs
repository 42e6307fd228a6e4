//! Learners' projects and their likes.

pub mod likes;
pub mod projects;
