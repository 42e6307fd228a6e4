//! What every operation says of itself.

use poem_openapi::Tags;

use crate::Code;

/// The areas of the API.
#[derive(Tags)]
pub enum Tag {
    /// Getting in and staying in.
    Auth,
    /// The signed-in user.
    Me,
    /// Ways through the lessons, with progress.
    Roadmaps,
    /// What there is to learn.
    Lessons,
    /// Style cards, glossary and prompts.
    Library,
    /// What learners have made.
    Projects,
    /// AI tools and their replies.
    Tools,
    /// The libraries, for admins.
    AdminLibrary,
    /// Running the platform: queues, workers, jobs.
    Operations,
    /// Instructions, chats and figures of the AI tools, for admins.
    ToolsAdmin,
}

/// What a resource declares beside its handlers: operation id and the codes of its own problems.
pub type Problems = &'static [(&'static str, &'static [Code])];

/// Whether a request with this method (in lower case) has a body that is read.
pub(crate) fn has_body(method: &str) -> bool {
    matches!(method, "post" | "put" | "patch")
}
