//! The libraries beside the lessons, and the search over all of it.

pub mod jobs;
pub mod search;
pub mod styles;
pub mod uses;
