//! The libraries beside the lessons, and the search over all of it.

pub mod search;
