//! The libraries of style cards, glossary terms and prompts, and the search in lessons, prompts and the glossary.

pub mod embeddings;
pub mod favorites;
pub mod glossary;
pub mod items;
pub mod jobs;
pub mod prompt_categories;
pub mod prompt_steps;
pub mod prompts;
pub mod search;
pub mod styles;
pub mod uses;
pub mod visible_prompts;
