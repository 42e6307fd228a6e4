//! The libraries.

mod search;
mod styles;
