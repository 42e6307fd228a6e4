//! The AI tools, for admins.

pub mod budgets;
pub mod chat_export;
pub mod chats;
pub mod daily;
pub mod evaluation_runs;
pub mod evaluations;
pub mod instructions;
pub mod ratings;
pub mod stats;
pub mod tryouts;
pub mod unanswered;
