//! The libraries beside the lessons.

pub mod search;
pub mod styles;
