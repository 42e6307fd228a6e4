//! The libraries, for admins.

pub mod glossary;
pub mod prompt_categories;
pub mod prompts;
pub mod styles;
