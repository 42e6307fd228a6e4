//! Favorites: the prompts that a user keeps.

use cairn_core::library::favorites;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::Time;
use crate::view::view;
use crate::{App, Code, Problem};

/// Favorites.
pub struct FavoritesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("favoritePrompt", &[Code::LimitReached])];

view! {
    /// A prompt that is one of your favorites.
    pub struct FavoritePrompt from favorites::Favorite {
        /// Identifies the prompt.
        id: Uuid,
        /// Identifies the category.
        category_id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// The beginning of the description, at most 300 characters.
        summary: String,
        /// The tags.
        tags: Vec<String>,
        /// The number of times it was copied, up to a few seconds ago.
        copy_count: i32,
        /// The number of steps that follow it.
        steps_count: i64,
        /// When it became a favorite.
        favorited_at: Time,
    }
}

/// Whether a prompt is a favorite.
#[derive(Clone, Debug, Object)]
pub struct PromptFavorite {
    /// Identifies the prompt.
    pub prompt_id: Uuid,
    /// Whether the prompt is one of your favorites.
    pub is_favorite: bool,
    /// Whether this call changed it.
    pub is_changed: bool,
}

#[OpenApi]
impl FavoritesApi {
    /// List my favorites
    ///
    /// The latest first. A prompt that is no longer published is left out, and is there again once it is published.
    #[oai(path = "/me/favorites", method = "get", operation_id = "listMyFavorites", tag = Tag::Me)]
    async fn list_my_favorites(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<FavoritePrompt>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = favorites::list(&mut connection, &caller, page.after()?, page.rows()).await?;
        page.answer(rows, |favorite| Some((favorite.favorited_at, favorite.id)))
    }

    /// Favorite a prompt
    ///
    /// Repeating the call has no effect.
    #[oai(path = "/prompts/:prompt_id/favorite", method = "put", operation_id = "favoritePrompt", tag = Tag::Library)]
    async fn favorite_prompt(
        &self,
        caller: Member,
        /// The prompt.
        prompt_id: Path<Uuid>,
    ) -> Result<Json<PromptFavorite>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let is_changed = favorites::add(&mut tx, prompt_id.0).await?;
        tx.commit().await?;
        Ok(Json(PromptFavorite { prompt_id: prompt_id.0, is_favorite: true, is_changed }))
    }

    /// Unfavorite a prompt
    ///
    /// Repeating the call has no effect.
    #[oai(
        path = "/prompts/:prompt_id/favorite",
        method = "delete",
        operation_id = "unfavoritePrompt",
        tag = Tag::Library
    )]
    async fn unfavorite_prompt(
        &self,
        caller: Member,
        /// The prompt.
        prompt_id: Path<Uuid>,
    ) -> Result<Json<PromptFavorite>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let is_changed = favorites::remove(&mut tx, prompt_id.0).await?;
        tx.commit().await?;
        Ok(Json(PromptFavorite { prompt_id: prompt_id.0, is_favorite: false, is_changed }))
    }
}
