//! What every operation declares about itself.

use poem_openapi::Tags;

use crate::Code;

/// The areas of the API.
#[derive(Tags)]
pub enum Tag {
    /// Registration and sessions.
    Auth,
    /// The signed-in user.
    Me,
    /// Roadmaps of stages of lessons, with progress.
    Roadmaps,
    /// Modules and lessons.
    Lessons,
    /// Style cards, glossary and prompts.
    Library,
    /// Learners' projects.
    Projects,
    /// AI tools and their replies.
    Tools,
    /// The platform itself: what front ends need to know of it.
    Platform,
    /// Modules, lessons, roadmaps and stages, for admins.
    AdminContent,
    /// Students and the moderation of projects, for mentors.
    Mentor,
    /// Projects, for admins.
    AdminProjects,
    /// The libraries, for admins.
    AdminLibrary,
    /// The activity log, for admins.
    AdminActivity,
    /// Users and invites, for admins.
    AdminUsers,
    /// Queues, workers and jobs, for admins.
    Operations,
    /// Settings, for admins.
    Settings,
    /// Statistics of the platform, for admins.
    Statistics,
    /// Instructions, chats and statistics of the AI tools, for admins.
    ToolsAdmin,
}

/// The tags in the order in which people read them, by who needs them.
pub(crate) const TAG_GROUPS: &[(&str, &[Tag])] = &[
    (
        "Learners",
        &[Tag::Auth, Tag::Me, Tag::Roadmaps, Tag::Lessons, Tag::Library, Tag::Projects, Tag::Tools, Tag::Platform],
    ),
    ("Mentors", &[Tag::Mentor]),
    (
        "Admins",
        &[
            Tag::AdminContent,
            Tag::AdminLibrary,
            Tag::AdminProjects,
            Tag::AdminUsers,
            Tag::AdminActivity,
            Tag::ToolsAdmin,
            Tag::Statistics,
            Tag::Settings,
        ],
    ),
    ("Operators", &[Tag::Operations]),
];

/// The codes that operations can return beyond the derived ones, by operation id. Resources declare them beside their
/// handlers.
pub type Problems = &'static [(&'static str, &'static [Code])];

/// What operations cost of their client's budget, by operation id. The others cost one unit.
pub(crate) const COSTS: &[(&str, u32)] = &[
    // Hash a password, or let somebody try codes and links. Wrong passwords are counted for each account as well.
    ("login", 5),
    ("register", 20),
    ("resetPassword", 20),
    ("changePassword", 20),
    ("deleteMe", 20),
    ("verifyEmail", 20),
    // Send mail to somebody. Each account gets one a minute as well.
    ("requestPasswordReset", 100),
    ("requestEmailVerification", 100),
    // Keep others busy: the AI provider, moderators.
    ("askTool", 20),
    ("transferToTool", 20),
    ("retryReply", 20),
    ("createTryout", 20),
    ("createProject", 10),
    ("submitProject", 10),
    // Read much.
    ("search", 3),
    ("exportMyData", 50),
    ("exportActivity", 50),
    ("exportChats", 50),
    ("exportCourse", 50),
    ("createCourseImport", 50),
];

/// Whether the body of a request with this method (in lower case) is read.
pub(crate) fn has_body(method: &str) -> bool {
    matches!(method, "post" | "put" | "patch" | "delete")
}
