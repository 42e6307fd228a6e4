//! What front ends need to know of the settings.

use cairn_core::settings::{ProjectModeration, Settings};
use poem_openapi::{Object, OpenApi};

use crate::answers::Tagged;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Problem};

/// What front ends need to know of the settings.
pub struct PlatformApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The parts of the platform that front ends show.
#[derive(Clone, Debug, Object)]
#[expect(clippy::struct_excessive_bools, reason = "one for each part")]
pub struct Navigation {
    /// Whether the style cards are shown.
    pub styles: bool,
    /// Whether the glossary is shown.
    pub glossary: bool,
    /// Whether the prompts are shown.
    pub prompts: bool,
    /// Whether the projects are shown.
    pub projects: bool,
    /// Whether the AI tools are shown.
    pub tools: bool,
    /// Whether the search is shown.
    pub search: bool,
}

/// What learners are limited to.
#[derive(Clone, Debug, Object)]
pub struct PlatformLimits {
    /// How many questions one learner may ask in 24 hours.
    pub daily_questions: i64,
    /// The longest question, in characters.
    pub max_message_chars: u32,
    /// How many replies of one learner may be unfinished at the same time.
    pub open_replies: i64,
}

/// What front ends need to know of the settings.
#[derive(Clone, Debug, Object)]
pub struct PlatformSettings {
    /// The parts of the platform that front ends show.
    pub navigation: Navigation,
    /// The names of the optional features that are switched on.
    pub features: Vec<String>,
    /// What learners are limited to.
    pub limits: PlatformLimits,
    /// Whether a mentor must approve the projects of learners before they are shown.
    pub is_moderated: bool,
}

impl From<&Settings> for PlatformSettings {
    fn from(settings: &Settings) -> Self {
        Self {
            navigation: Navigation {
                styles: settings.show_styles,
                glossary: settings.show_glossary,
                prompts: settings.show_prompts,
                projects: settings.show_projects,
                tools: settings.show_tools,
                search: settings.show_search,
            },
            features: settings.features.clone(),
            limits: PlatformLimits {
                daily_questions: settings.daily_questions,
                max_message_chars: u32::try_from(settings.max_message_chars).unwrap_or(u32::MAX),
                open_replies: settings.open_replies_per_user,
            },
            is_moderated: settings.project_moderation == ProjectModeration::On,
        }
    }
}

#[OpenApi]
impl PlatformApi {
    /// Get the settings of the platform
    ///
    /// What front ends need: which parts to show, the limits, and the features that are switched on.
    #[oai(path = "/settings", method = "get", operation_id = "getPlatformSettings", tag = Tag::Platform)]
    async fn get_platform_settings(&self, _caller: Member) -> Result<Tagged<PlatformSettings>, Problem> {
        let mut connection = self.app.connection().await?;
        let settings = self.app.settings(&mut connection).await?;
        Ok(Tagged::new(&(&*settings).into()))
    }
}
