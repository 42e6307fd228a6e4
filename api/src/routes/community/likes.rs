//! Likes of projects.

use cairn_core::community::likes::{self, LikeState};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Problem};

/// Likes of projects.
pub struct LikesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The likes of a project.
#[derive(Clone, Debug, Object)]
pub struct ProjectLike {
    /// Identifies the project.
    pub project_id: Uuid,
    /// Whether you like the project.
    pub is_liked: bool,
    /// The number of likes, yours included.
    #[oai(validator(minimum(value = "0")))]
    pub likes_count: i64,
}

impl ProjectLike {
    fn new(project_id: Uuid, state: LikeState) -> Self {
        Self { project_id, is_liked: state.is_liked, likes_count: state.likes_count }
    }
}

#[OpenApi]
impl LikesApi {
    /// Like a project
    ///
    /// Only published projects can be liked. Repeating the call has no effect.
    #[oai(path = "/projects/:project_id/like", method = "put", operation_id = "likeProject", tag = Tag::Projects)]
    async fn like_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
    ) -> Result<Json<ProjectLike>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let state = likes::add(&mut tx, project_id.0).await?;
        tx.commit().await?;
        Ok(Json(ProjectLike::new(project_id.0, state)))
    }

    /// Unlike a project
    ///
    /// Repeating the call has no effect.
    #[oai(path = "/projects/:project_id/like", method = "delete", operation_id = "unlikeProject", tag = Tag::Projects)]
    async fn unlike_project(
        &self,
        caller: Member,
        /// The project.
        project_id: Path<Uuid>,
    ) -> Result<Json<ProjectLike>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let state = likes::remove(&mut tx, project_id.0).await?;
        tx.commit().await?;
        Ok(Json(ProjectLike::new(project_id.0, state)))
    }
}
