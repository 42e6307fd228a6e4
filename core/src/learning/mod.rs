//! Learning: what there is to learn, what learners did with it, and how far they are.

pub mod catalog;
pub mod course;
pub mod facts;
pub mod jobs;
pub mod lessons;
pub mod locks;
pub mod progress;
pub mod recompute;
pub mod rollup;
pub mod rules;
pub mod tree;
