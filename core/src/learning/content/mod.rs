//! The content tree as admins edit it: modules of lessons, and roadmaps of stages of lessons.

pub mod lessons;
pub mod modules;
pub mod parts;
pub mod roadmaps;
pub mod stage_lessons;
pub mod stages;
mod tree;
