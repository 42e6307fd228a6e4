//! The tables of the platform that Cairn replaces, with what becomes of them and of each column.

use super::plan::Verdict;
use super::row::Row;
use super::state::State;
use super::{chats, community, content, library, people, progress, roadmaps};

/// What kind of type a column has. One kind has several types: an id was a number in one version and a UUID in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number or a UUID.
    Id,
    /// Text of any length, or an enum.
    Text,
    /// A time, with or without a zone, or a date.
    Time,
    /// A number.
    Number,
    /// A flag.
    Flag,
    /// An array, JSON, or text with commas.
    List,
    /// JSON.
    Json,
}

impl Kind {
    /// Whether a column whose type has this category and name in Postgres can be read as this kind.
    pub(super) fn reads(self, category: &str, name: &str) -> bool {
        match self {
            Self::Id => matches!(category, "N" | "S") || name == "uuid",
            Self::Text => matches!(category, "S" | "E" | "N") || name == "uuid",
            Self::Time => category == "D",
            Self::Number => category == "N",
            Self::Flag => category == "B",
            Self::List => matches!(category, "A" | "S") || matches!(name, "json" | "jsonb"),
            Self::Json => matches!(name, "json" | "jsonb"),
        }
    }
}

/// A column of the old database.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name there.
    pub name: &'static str,
    /// What can be read.
    pub kind: Kind,
    /// Whether its values are carried over, or computed here from what is. The others are lost, and the check says so.
    pub is_kept: bool,
}

/// A table of the old database.
#[derive(Debug)]
pub struct Table {
    /// The name there.
    pub name: &'static str,
    /// What its rows become, for people.
    pub becomes: &'static str,
    /// The columns that are known.
    pub columns: &'static [Column],
    /// The order in which rows are read, by those of these columns that exist.
    pub(super) order: &'static [(&'static str, &'static str)],
    /// What becomes of a row.
    pub(super) map: fn(&Row, &mut State) -> Verdict,
}

/// The columns of a table, by kind: those that are kept, and after `!` those that are lost.
macro_rules! columns {
    ($($kept:ident: $($name:ident)*;)* ! $($lost:ident: $($other:ident)*;)*) => {
        &[
            $($(Column { name: stringify!($name), kind: Kind::$kept, is_kept: true },)*)*
            $($(Column { name: stringify!($other), kind: Kind::$lost, is_kept: false },)*)*
        ]
    };
}

const OLDEST_FIRST: &[(&str, &str)] = &[("created_at", "created_at NULLS LAST"), ("id", "id")];
/// Of several rows that say the same, the one that says most comes first and counts.
const COMPLETED_FIRST: &[(&str, &str)] = &[("completed_at", "completed_at NULLS LAST"), ("id", "id")];
/// Of several accounts with one address, the one that was active last comes first and keeps it.
const LIVE_FIRST: &[(&str, &str)] = &[
    ("deleted_at", "deleted_at IS NOT NULL"),
    ("last_active_at", "last_active_at DESC NULLS LAST"),
    ("created_at", "created_at NULLS LAST"),
    ("id", "id"),
];

const fn table(
    name: &'static str,
    becomes: &'static str,
    columns: &'static [Column],
    order: &'static [(&'static str, &'static str)],
    map: fn(&Row, &mut State) -> Verdict,
) -> Table {
    Table { name, becomes, columns, order, map }
}

/// The tables, in the order in which they are read: parents first.
static TABLES: [Table; 27] = [
    table(
        "users",
        "accounts, with their passwords (`users`); `inactive` is suspended",
        columns! {
            Id: id current_module_id; Text: email password_hash first_name last_name avatar_url role status; Flag:
            email_verified; Time: last_active_at created_at updated_at deleted_at; Number: progress_percent progress;
            ! Text: landing_url service_url github_url admin_notes niche; Flag: onboarding_completed; Id: cohort_id; Json: preferences;
        },
        LIVE_FIRST,
        people::user,
    ),
    table(
        "course_modules",
        "`course_modules`, and a stage of the roadmap “Курс” for each; `locked` is a draft",
        columns! {
            Id: id; Text: title description status; Number: sort_order; Time: created_at updated_at deleted_at;
            !
        },
        OLDEST_FIRST,
        content::module,
    ),
    table(
        "lessons",
        "`lessons`, in the stage of their module; `draft`, `hidden` and `locked` are drafts",
        columns! {
            Id: id module_id; Text: title description duration video_url status; Number: sort_order; Time: created_at
            updated_at deleted_at;
            ! Number: views_count completions_count;
        },
        OLDEST_FIRST,
        content::lesson,
    ),
    table(
        "lesson_materials",
        "`lesson_materials`",
        columns! {
            Id: id lesson_id; Text: title type url; Number: sort_order; Time: created_at;
            !
        },
        OLDEST_FIRST,
        content::material,
    ),
    table(
        "lesson_tasks",
        "optional tasks (`lesson_tasks`)",
        columns! {
            Id: id lesson_id; Text: text; Number: sort_order; Time: created_at;
            !
        },
        OLDEST_FIRST,
        content::task,
    ),
    table(
        "roadmaps",
        "`roadmaps`, each with one stage, and a module for its lessons",
        columns! {
            Id: id; Text: title description; Number: sort_order active_users_count completions_count; Time: created_at
            updated_at deleted_at;
            ! Text: category icon estimated_time difficulty;
        },
        OLDEST_FIRST,
        roadmaps::roadmap,
    ),
    table(
        "roadmap_steps",
        "`lessons` in the stage of their roadmap",
        columns! {
            Id: id roadmap_id; Text: title description link_url link_text; Number: sort_order; Time: created_at updated_at
            deleted_at;
            !
        },
        OLDEST_FIRST,
        roadmaps::step,
    ),
    table(
        "dashboard_stages",
        "`stages` of the roadmap “Этапы обучения”, each with one lesson",
        columns! {
            Id: id; Text: title subtitle; Number: sort_order; Time: created_at updated_at deleted_at;
            ! Flag: is_active; Id: cohort_id;
        },
        OLDEST_FIRST,
        roadmaps::dashboard_stage,
    ),
    table(
        "stage_tasks",
        "required tasks of the stage's lesson (`lesson_tasks`)",
        columns! {
            Id: id stage_id; Text: title; Number: sort_order; Time: created_at;
            !
        },
        OLDEST_FIRST,
        roadmaps::stage_task,
    ),
    table(
        "prompt_categories",
        "`prompt_categories`",
        columns! {
            Id: id; Text: name; Number: sort_order; Time: deleted_at;
            ! Time: created_at updated_at; Text: color icon;
        },
        OLDEST_FIRST,
        library::category,
    ),
    table(
        "prompts",
        "`prompts`; a category that is a word becomes a row of `prompt_categories`",
        columns! {
            Id: id category_id; Text: title description content usage_instruction category status; List: tags; Number:
            sort_order; Time: created_at updated_at deleted_at;
            ! Number: copy_count;
        },
        OLDEST_FIRST,
        library::prompt,
    ),
    table(
        "prompt_steps",
        "`prompt_steps`",
        columns! {
            Id: id prompt_id; Text: title description content; Number: sort_order; Time: created_at;
            !
        },
        OLDEST_FIRST,
        library::prompt_step,
    ),
    table(
        "style_cards",
        "`style_cards`; the old category is a tag",
        columns! {
            Id: id; Text: name description long_description image_url prompt category status; List: tags; Number:
            sort_order; Time: created_at updated_at deleted_at;
            ! Text: gradient; Number: usage_count;
        },
        OLDEST_FIRST,
        library::style,
    ),
    table(
        "glossary_terms",
        "`glossary_terms`; slang is tags",
        columns! {
            Id: id; Text: term definition category; List: slang; Time: created_at updated_at deleted_at;
            ! Number: sort_order;
        },
        OLDEST_FIRST,
        library::term,
    ),
    table(
        "showcase_projects",
        "`showcase_projects`; `moderation` is submitted, `archived` is a draft",
        columns! {
            Id: id author_id user_id; Text: title description image_url demo_url github_url category status; Number:
            likes_count; Time: moderated_at created_at updated_at deleted_at;
            ! Id: moderated_by_id;
        },
        OLDEST_FIRST,
        community::project,
    ),
    table(
        "user_lesson_progress",
        "facts (`user_lesson_progress`)",
        columns! {
            Id: id user_id lesson_id; Text: status; Time: started_at completed_at updated_at created_at;
            !
        },
        COMPLETED_FIRST,
        progress::lesson,
    ),
    table(
        "user_lesson_task_progress",
        "checked tasks (`user_lesson_task_progress`)",
        columns! {
            Id: id user_id task_id; Time: completed_at;
            !
        },
        COMPLETED_FIRST,
        progress::lesson_task,
    ),
    table(
        "user_roadmap_step_progress",
        "facts: the lesson that the step has become is completed",
        columns! {
            Id: id user_id step_id; Time: completed_at;
            !
        },
        COMPLETED_FIRST,
        progress::step,
    ),
    table(
        "user_stage_task_progress",
        "checked tasks; a lesson all of whose tasks are checked is completed",
        columns! {
            Id: id user_id task_id; Time: completed_at;
            !
        },
        COMPLETED_FIRST,
        progress::stage_task,
    ),
    table(
        "user_stage_progress",
        "nothing: computed from the facts",
        columns! {
            Id: id user_id stage_id; Text: status; Time: updated_at;
            !
        },
        &[("id", "id")],
        progress::derived,
    ),
    table(
        "user_roadmap_progress",
        "nothing: computed from the facts",
        columns! {
            Id: id user_id roadmap_id; Time: started_at completed_at;
            !
        },
        &[("id", "id")],
        progress::derived,
    ),
    table(
        "user_prompt_favorites",
        "`user_prompt_favorites`",
        columns! {
            Id: id user_id prompt_id; Time: created_at;
            !
        },
        OLDEST_FIRST,
        library::favorite,
    ),
    table(
        "user_favorite_prompts",
        "`user_prompt_favorites`",
        columns! {
            Id: id user_id prompt_id; Time: created_at;
            !
        },
        OLDEST_FIRST,
        library::favorite,
    ),
    table(
        "project_likes",
        "`project_likes`",
        columns! {
            Id: id project_id user_id; Time: created_at;
            !
        },
        OLDEST_FIRST,
        community::like,
    ),
    table(
        "tool_chats",
        "`tool_chats`",
        columns! {
            Id: id user_id; Text: tool_type; Time: created_at updated_at;
            !
        },
        OLDEST_FIRST,
        chats::chat,
    ),
    table(
        "tool_messages",
        "`tool_messages`",
        columns! {
            Id: id chat_id; Text: role content; Flag: has_copyable_content; Time: created_at;
            !
        },
        OLDEST_FIRST,
        chats::message,
    ),
    table(
        "chat_messages",
        "`tool_messages` of the user's chat with the assistant",
        columns! {
            Id: id user_id; Text: role content; Time: created_at;
            ! Text: model_used; Number: tokens_used;
        },
        OLDEST_FIRST,
        chats::old_message,
    ),
];

/// The settings, which come last.
static SETTINGS: Table = table(
    "platform_settings",
    "settings with the same key, and the visibility of the navigation",
    columns! {
        Id: id; Text: setting_key key; Json: setting_value value; Time: created_at updated_at;
        ! Id: updated_by;
    },
    &[("id", "id")],
    chats::setting,
);

/// All tables that are carried over.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().chain([&SETTINGS])
}

/// The table of this name that is carried over.
pub fn table_named(name: &str) -> Option<&'static Table> {
    tables().find(|table| table.name == name)
}

/// Why the rows of a table are not carried over.
pub fn why_not(table: &str) -> &'static str {
    match table {
        "invite_links" => "Cairn's codes are longer: create new ones with `cairn invite create`",
        "ai_system_instructions" => {
            "an instruction belongs to one tool and is tried out first: enter it in the administration"
        }
        "cohorts" | "module_cohorts" | "cohort_call_access" => "Cairn has no cohorts",
        "admin_calls" | "call_materials" => "Cairn has no calls",
        "activity_log" | "analytics_events" => "Cairn's log has what happens here",
        "quick_questions" | "notifications" | "user_notifications" | "platform_updates" => "Cairn has nothing like it",
        _ => "this table is not known",
    }
}
