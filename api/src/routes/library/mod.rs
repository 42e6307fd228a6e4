//! The libraries beside the lessons.

pub mod styles;
