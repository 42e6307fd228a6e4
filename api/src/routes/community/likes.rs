//! Likes of projects.

use cairn_core::community::likes::{self, LikeState};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Code, Problem};

/// Likes of projects.
pub struct LikesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems =
    &[("likeProject", &[Code::ProjectNotFound]), ("unlikeProject", &[Code::ProjectNotFound])];

/// Where you and a project stand.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ProjectLike {
    /// The project.
    pub project_id: Uuid,
    /// Whether you like it.
    pub is_liked: bool,
    /// How many people like it, your own like included.
    #[oai(validator(minimum(value = "0")))]
    pub likes_count: i64,
}

impl Example for ProjectLike {
    fn example() -> Self {
        Self { project_id: Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d01), is_liked: true, likes_count: 13 }
    }
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
    /// Only published projects can be liked. Repeating the call changes nothing.
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

    /// Take a like back
    ///
    /// Repeating the call changes nothing.
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
