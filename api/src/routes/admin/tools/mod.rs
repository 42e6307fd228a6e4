//! The AI tools, for admins.

pub mod chat_export;
pub mod chats;
pub mod instructions;
pub mod stats;
pub mod tryouts;
