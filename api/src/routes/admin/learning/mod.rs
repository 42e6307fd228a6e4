//! The content tree, for admins.

pub mod course;
pub mod lesson_objects;
pub mod lessons;
pub mod modules;
pub mod previews;
pub mod roadmaps;
pub mod stage_lessons;
pub mod stages;
