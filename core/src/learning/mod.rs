//! Placeholder.
pub mod catalogue;
pub mod course;
pub mod facts;
pub mod lessons;
pub mod locks;
pub mod progress;
pub mod rollup;
pub mod rules;
pub mod tree;
