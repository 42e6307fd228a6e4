//! The libraries beside the lessons.

pub mod favorites;
pub mod glossary;
pub mod prompt_categories;
pub mod prompts;
pub mod search;
pub mod styles;
