//! All operations: one folder per area, one file and struct per resource.

pub mod admin;
pub mod community;
pub mod learning;
pub mod library;
pub mod tools;
pub mod users;

use poem_openapi::Tags;

use crate::{App, Code};

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

macro_rules! resources {
    (@type) => { () };
    (@type $($module:ident)::+ $api:ident, $($rest:tt)*) => { ($($module)::+::$api, resources!(@type $($rest)*)) };
    (@new $app:ident) => { () };
    (@new $app:ident $($module:ident)::+ $api:ident, $($rest:tt)*) => {
        ($($module)::+::$api { app: $app.clone() }, resources!(@new $app $($rest)*))
    };
    (@problems) => { [] };
    (@list $($($module:ident)::+ $api:ident,)*) => { [$($($module)::+::PROBLEMS),*] };
    ($($all:tt)*) => {
        /// All resources, as nested pairs because poem's tuples end at 16.
        pub type Resources = resources!(@type $($all)*);

        /// All resources over one app.
        pub fn resources(app: &App) -> Resources {
            resources!(@new app $($all)*)
        }

        /// The problems that each resource declares.
        pub fn problems() -> impl Iterator<Item = &'static (&'static str, &'static [Code])> {
            resources!(@list $($all)*).into_iter().flatten()
        }
    };
}

// One line per resource: its module, then its struct `XApi { pub app: App }`.
resources! {
    users::auth AuthApi,
    users::me MeApi,
    learning::roadmaps RoadmapsApi,
    learning::roadmap_progress RoadmapProgressApi,
    learning::modules ModulesApi,
    learning::lessons LessonsApi,
    learning::completion CompletionApi,
    learning::tasks TasksApi,
    learning::progress ProgressApi,
    library::styles StylesApi,
    community::projects ProjectsApi,
    community::likes LikesApi,
    tools::catalog CatalogApi,
    tools::messages MessagesApi,
    tools::replies RepliesApi,
    tools::stream StreamApi,
    tools::transfer TransferApi,
    admin::library::styles AdminStylesApi,
    admin::queues QueuesApi,
    admin::workers WorkersApi,
    admin::jobs JobsApi,
    admin::bulk BulkApi,
    admin::instructions InstructionsApi,
    admin::chats ChatsApi,
    admin::chat_export ChatExportApi,
    admin::tool_stats ToolStatsApi,
}
