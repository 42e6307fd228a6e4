//! Stages of roadmaps, as admins edit them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{roadmaps, tree};
use crate::Result;
use crate::activity::Target;
use crate::db::Tx;
use crate::learning::catalog::Position;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Publication, Publish, Refusal, Resource};

/// A stage. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table stages")]
pub struct Stage {
    pub id: Uuid,
    pub roadmap_id: Uuid,
    pub slug: String,
    pub title: String,
    pub summary: String,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Stage {
    /// A new stage, the last of its roadmap.
    pub fn new(id: Uuid, roadmap_id: Uuid) -> Self {
        Self { id, roadmap_id, position: tree::LAST, ..Self::default() }
    }
}

/// Selects stages from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_stages {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Stage,
            $with
                + r#" SELECT id AS "id!", roadmap_id AS "roadmap_id!", slug AS "slug!: String", title AS "title!",
                       summary AS "summary!", position AS "position!", publication AS "publication!: Publication",
                       version AS "version!", created_at AS "created_at!", updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Stage {
    const NOUN: Noun = Noun::Stage;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        tree::lock(connection).await?;
        let stage = select_stages!("", "stages WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(stage.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        tree::lock(connection).await?;
        let saved = select_stages!(
            "WITH saved AS (
                 INSERT INTO stages (id, roadmap_id, slug, title, summary, position, publication, deleted_at)
                 VALUES ($1, $2, $3::text, $4, $5,
                     CASE WHEN $6 < 2147483647 THEN $6
                          ELSE (SELECT coalesce(max(position) + 1, 0) FROM stages WHERE roadmap_id = $2) END,
                     $7, $8)
                 ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, title = excluded.title, summary = excluded.summary,
                     position = excluded.position, publication = excluded.publication, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.roadmap_id,
            self.slug,
            self.title,
            self.summary,
            self.position,
            self.publication as Publication,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        saved
            .on_constraint("stages_slug_key", Refusal::Taken { member: "slug" })
            .on_constraint("stages_roadmap_id_fkey", NotFound(Noun::Roadmap).into())
    }

    async fn after_save(&self, tx: &mut Tx, before: Option<&Self>) -> Result<(), Rejected<Refusal>> {
        if before.is_none() {
            find_roadmap(tx, self.roadmap_id).await?;
        }
        if self.deleted_at.is_none() && before.is_none_or(|before| before.deleted_at.is_some()) {
            let size = sqlx::query_scalar!(
                r#"SELECT count(*) AS "size!" FROM stages WHERE roadmap_id = $1 AND deleted_at IS NULL"#,
                self.roadmap_id
            );
            tree::check_size(size.fetch_one(&mut **tx).await?, tree::MAX_STAGES)?;
        }
        Ok(tree::enqueue_consequences(tx).await?)
    }
}

impl Publish for Stage {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

/// Finds a roadmap that is not deleted; returns its title.
async fn find_roadmap(connection: &mut PgConnection, id: Uuid) -> Result<String, Rejected<Refusal>> {
    let title = sqlx::query_scalar!("SELECT title FROM roadmaps WHERE id = $1 AND deleted_at IS NULL", id);
    title.fetch_optional(connection).await?.or_not_found(Noun::Roadmap)
}

/// At most `limit` stages of a roadmap in order, starting after `after`, drafts and archived ones included. Lists either the
/// deleted stages or those that are not.
pub async fn list(
    connection: &mut PgConnection,
    roadmap_id: Uuid,
    (publication, deleted): (Option<Publication>, bool),
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Stage>, Rejected<NotFound>> {
    roadmaps::find(connection, roadmap_id).await?;
    let (position, id) = after.unzip();
    let stages = select_stages!(
        "",
        "stages
         WHERE roadmap_id = $1 AND (deleted_at IS NOT NULL) = $2 AND ($3::publication IS NULL OR publication = $3)
           AND (position, id) > (coalesce($4, -2147483648), coalesce($5, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY position, id LIMIT $6",
        roadmap_id,
        deleted,
        publication as Option<Publication>,
        position,
        id,
        limit
    );
    Ok(stages.fetch_all(connection).await?)
}

/// All stages of a roadmap that are not deleted, in order. There are few.
pub async fn list_live(connection: &mut PgConnection, roadmap_id: Uuid) -> Result<Vec<Stage>> {
    let stages =
        select_stages!("", "stages WHERE roadmap_id = $1 AND deleted_at IS NULL ORDER BY position, id", roadmap_id);
    Ok(stages.fetch_all(connection).await?)
}

/// Finds a stage whatever its publication, deleted or not.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Stage, Rejected<NotFound>> {
    let stage = select_stages!("", "stages WHERE id = $1", id);
    stage.fetch_optional(connection).await?.or_not_found(Noun::Stage)
}

/// Raises the version of a stage whose lessons changed.
pub(super) async fn raise_version(connection: &mut PgConnection, id: Uuid) -> Result<Stage> {
    let stage = select_stages!(
        "WITH raised AS (UPDATE stages SET version = version + 1 WHERE id = $1 RETURNING *)",
        "raised",
        id
    );
    Ok(stage.fetch_one(connection).await?)
}

/// Puts all stages of a roadmap that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, roadmap_id: Uuid, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    tree::lock(tx).await?;
    let title = find_roadmap(tx, roadmap_id).await?;
    let current = sqlx::query_scalar!(
        "SELECT id FROM stages WHERE roadmap_id = $1 AND deleted_at IS NULL ORDER BY position, id",
        roadmap_id
    );
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE stages s SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE s.id = o.id AND s.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    let roadmap = Target::new(Noun::Roadmap, roadmap_id, &title);
    resource::record_order_in(tx, Noun::Stage, Some(roadmap), &current, order)?;
    Ok(tree::enqueue_consequences(tx).await?)
}
