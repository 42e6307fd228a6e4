//! Learning: the course content, what learners did with it, and their progress.

pub mod catalog;
pub mod content;
mod counts;
pub mod course;
pub mod facts;
pub mod imports;
pub mod jobs;
pub mod lessons;
pub mod locks;
pub mod preview;
pub mod progress;
pub mod recompute;
pub mod rollup;
pub mod rules;
pub mod students;
pub mod task_changes;
pub mod tree;
pub mod tree_progress;
