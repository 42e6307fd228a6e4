//! All operations: a folder per area, a file with a struct per resource.

pub mod admin;
pub mod community;
pub mod learning;
pub mod library;
pub mod settings;
pub mod tools;
pub mod users;

use crate::{App, Code};

macro_rules! resources {
    (@type) => { () };
    (@type $($m1:ident)::+ $a1:ident, $($m2:ident)::+ $a2:ident, $($m3:ident)::+ $a3:ident, $($m4:ident)::+ $a4:ident,
     $($rest:tt)*) => {
        (($($m1)::+::$a1, $($m2)::+::$a2, $($m3)::+::$a3, $($m4)::+::$a4), resources!(@type $($rest)*))
    };
    (@type $($module:ident)::+ $api:ident, $($rest:tt)*) => { ($($module)::+::$api, resources!(@type $($rest)*)) };
    (@new $app:ident) => { () };
    (@new $app:ident $($m1:ident)::+ $a1:ident, $($m2:ident)::+ $a2:ident, $($m3:ident)::+ $a3:ident,
     $($m4:ident)::+ $a4:ident, $($rest:tt)*) => {
        (
            (
                $($m1)::+::$a1 { app: $app.clone() },
                $($m2)::+::$a2 { app: $app.clone() },
                $($m3)::+::$a3 { app: $app.clone() },
                $($m4)::+::$a4 { app: $app.clone() },
            ),
            resources!(@new $app $($rest)*),
        )
    };
    (@new $app:ident $($module:ident)::+ $api:ident, $($rest:tt)*) => {
        ($($module)::+::$api { app: $app.clone() }, resources!(@new $app $($rest)*))
    };
    (@problems) => { [] };
    (@list $($($module:ident)::+ $api:ident,)*) => { [$($($module)::+::PROBLEMS),*] };
    ($($all:tt)*) => {
        /// All resources, nested because poem's tuples end at 16: in groups of four, because each level keeps what is below it
        /// on the stack.
        pub type Resources = resources!(@type $($all)*);

        /// Creates all resources for one app.
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
    users::export MyExportApi,
    users::password PasswordApi,
    users::mail MailApi,
    users::sessions SessionsApi,
    users::events EventsApi,
    learning::roadmaps RoadmapsApi,
    learning::roadmap_progress RoadmapProgressApi,
    learning::modules ModulesApi,
    learning::lessons LessonsApi,
    learning::completion CompletionApi,
    learning::tasks TasksApi,
    learning::progress ProgressApi,
    learning::students StudentsApi,
    library::styles StylesApi,
    library::glossary GlossaryApi,
    library::prompt_categories PromptCategoriesApi,
    library::prompts PromptsApi,
    library::favorites FavoritesApi,
    library::search SearchApi,
    community::projects ProjectsApi,
    community::own_projects OwnProjectsApi,
    community::likes LikesApi,
    community::moderation ModerationApi,
    tools::catalog CatalogApi,
    tools::messages MessagesApi,
    tools::replies RepliesApi,
    tools::ratings RatingsApi,
    tools::mentor_questions MentorQuestionsApi,
    tools::mentoring MentoringApi,
    tools::stream StreamApi,
    tools::transfer TransferApi,
    admin::learning::modules AdminModulesApi,
    admin::learning::lessons AdminLessonsApi,
    admin::learning::roadmaps AdminRoadmapsApi,
    admin::learning::stages AdminStagesApi,
    admin::learning::stage_lessons AdminStageLessonsApi,
    admin::learning::previews PreviewsApi,
    admin::learning::course CourseApi,
    admin::community::projects AdminProjectsApi,
    settings::platform PlatformApi,
    admin::audit::activity AdminActivityApi,
    admin::audit::export ActivityExportApi,
    admin::audit::history HistoryApi,
    admin::library::styles AdminStylesApi,
    admin::users::accounts AccountsApi,
    admin::users::bulk BulkUsersApi,
    admin::users::invites InvitesApi,
    admin::users::password_resets PasswordResetsApi,
    admin::library::glossary AdminGlossaryApi,
    admin::library::prompt_categories AdminPromptCategoriesApi,
    admin::library::prompts AdminPromptsApi,
    admin::queue::queues QueuesApi,
    admin::queue::workers WorkersApi,
    admin::queue::jobs JobsApi,
    admin::queue::bulk BulkApi,
    admin::settings::platform AdminSettingsApi,
    admin::stats::dashboard DashboardApi,
    admin::stats::daily DailyApi,
    admin::stats::funnel FunnelApi,
    admin::stats::lessons LessonStatsApi,
    admin::tools::instructions InstructionsApi,
    admin::tools::tryouts TryoutsApi,
    admin::tools::evaluations EvaluationsApi,
    admin::tools::evaluation_runs EvaluationRunsApi,
    admin::tools::chats ChatsApi,
    admin::tools::chat_export ChatExportApi,
    admin::tools::stats StatsApi,
    admin::tools::daily DailyToolsApi,
    admin::tools::unanswered UnansweredApi,
    admin::tools::ratings RatingReasonsApi,
    admin::tools::budgets BudgetsApi,
}
