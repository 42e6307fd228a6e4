//! Roadmaps, as admins edit them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::tree;
use crate::Result;
use crate::db::Tx;
use crate::learning::catalog::Position;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Publication, Publish, Refusal, Resource};

/// A roadmap. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table roadmaps")]
pub struct Roadmap {
    pub id: Uuid,
    pub slug: String,
    pub title: String,
    pub summary: String,
    pub is_sequential: bool,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Roadmap {
    /// A new roadmap, the last of all.
    pub fn new(id: Uuid) -> Self {
        Self { id, position: tree::LAST, ..Self::default() }
    }
}

/// Selects roadmaps from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_roadmaps {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Roadmap,
            $with
                + r#" SELECT id AS "id!", slug AS "slug!: String", title AS "title!", summary AS "summary!",
                       is_sequential AS "is_sequential!", position AS "position!",
                       publication AS "publication!: Publication", version AS "version!", created_at AS "created_at!",
                       updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Roadmap {
    const NOUN: Noun = Noun::Roadmap;

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
        let roadmap = select_roadmaps!("", "roadmaps WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(roadmap.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        tree::lock(connection).await?;
        let saved = select_roadmaps!(
            "WITH saved AS (
                 INSERT INTO roadmaps (id, slug, title, summary, is_sequential, position, publication, deleted_at)
                 VALUES ($1, $2::text, $3, $4, $5,
                     CASE WHEN $6 < 2147483647 THEN $6 ELSE (SELECT coalesce(max(position) + 1, 0) FROM roadmaps) END,
                     $7, $8)
                 ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, title = excluded.title, summary = excluded.summary,
                     is_sequential = excluded.is_sequential, position = excluded.position,
                     publication = excluded.publication, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.slug,
            self.title,
            self.summary,
            self.is_sequential,
            self.position,
            self.publication as Publication,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        saved.on_constraint("roadmaps_slug_key", Refusal::Taken { member: "slug" })
    }

    async fn after_save(&self, tx: &mut Tx, before: Option<&Self>) -> Result<(), Rejected<Refusal>> {
        if self.deleted_at.is_none() && before.is_none_or(|before| before.deleted_at.is_some()) {
            let size = sqlx::query_scalar!(r#"SELECT count(*) AS "size!" FROM roadmaps WHERE deleted_at IS NULL"#);
            tree::check_size(size.fetch_one(&mut **tx).await?, tree::MAX_ITEMS)?;
        }
        Ok(tree::enqueue_consequences(tx).await?)
    }
}

impl Publish for Roadmap {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

/// At most `limit` roadmaps in order, starting after `after`, drafts and archived ones included. Lists either the deleted
/// roadmaps or those that are not.
pub async fn list(
    connection: &mut PgConnection,
    publication: Option<Publication>,
    deleted: bool,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Roadmap>> {
    let (position, id) = after.unzip();
    let roadmaps = select_roadmaps!(
        "",
        "roadmaps
         WHERE (deleted_at IS NOT NULL) = $1 AND ($2::publication IS NULL OR publication = $2)
           AND (position, id) > (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY position, id LIMIT $5",
        deleted,
        publication as Option<Publication>,
        position,
        id,
        limit
    );
    Ok(roadmaps.fetch_all(connection).await?)
}

/// Finds a roadmap whatever its publication, deleted or not.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Roadmap, Rejected<NotFound>> {
    let roadmap = select_roadmaps!("", "roadmaps WHERE id = $1", id);
    roadmap.fetch_optional(connection).await?.or_not_found(Noun::Roadmap)
}

/// Puts all roadmaps that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    tree::lock(tx).await?;
    let current = sqlx::query_scalar!("SELECT id FROM roadmaps WHERE deleted_at IS NULL ORDER BY position, id");
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE roadmaps r SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE r.id = o.id AND r.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    Ok(resource::record_order(tx, Noun::Roadmap, &current, order)?)
}
