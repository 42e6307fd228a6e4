//! The libraries of style cards and prompts, and the search in lessons, prompts and the glossary.

pub mod items;
pub mod jobs;
pub mod search;
pub mod styles;
pub mod uses;
