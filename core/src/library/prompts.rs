//! Prompts: texts to copy into an assistant, each with steps that follow it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::prompt_steps::{Step, Steps};
use crate::Result;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Publication, Publish, Refusal, Resource};

/// A prompt with its steps. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table prompts, which documents them")]
pub struct Prompt {
    pub id: Uuid,
    pub category_id: Uuid,
    pub slug: String,
    pub title: String,
    pub description: String,
    pub body: String,
    pub tags: Vec<String>,
    #[serde(skip)]
    pub copy_count: i32,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    /// What follows the prompt, in order.
    pub steps: Steps,
}

impl Resource for Prompt {
    const NOUN: Noun = Noun::Prompt;

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

    /// The lock is taken first: a statement that had to wait for it would read the steps as they were before the wait.
    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        sqlx::query!("SELECT FROM prompts WHERE id = $1 FOR NO KEY UPDATE", id).execute(&mut *connection).await?;
        select(connection, id).await
    }

    /// Every save raises the version, because a change of the steps alone leaves the other columns as they are.
    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let saved = sqlx::query!(
            "INSERT INTO prompts AS p (id, category_id, slug, title, description, body, tags, position, publication,
                 deleted_at)
             VALUES ($1, $2, $3::text, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (id) DO UPDATE SET category_id = excluded.category_id, slug = excluded.slug,
                 title = excluded.title, description = excluded.description, body = excluded.body,
                 tags = excluded.tags, position = excluded.position, publication = excluded.publication,
                 deleted_at = excluded.deleted_at, version = p.version + 1",
            self.id,
            self.category_id,
            self.slug,
            self.title,
            self.description,
            self.body,
            &self.tags,
            self.position,
            self.publication as Publication,
            self.deleted_at,
        );
        let saved = saved.execute(&mut *connection).await;
        let no_category = || Refusal::Invalid {
            pointer: "/category_id".into(),
            message: "There is no category with this id, or it is deleted.".to_owned(),
        };
        saved
            .on_constraint("prompts_slug_key", Refusal::Taken { member: "slug" })
            .on_constraint("prompts_category_id_fkey", no_category())
            .on_constraint("prompts_category_is_live", no_category())
            .on_constraint("prompts_restored_category_is_live", Refusal::ParentDeleted(Noun::PromptCategory))?;
        self.steps.save(connection, self.id).await?;
        select(connection, self.id).await?.or_not_found(Noun::Prompt)
    }
}

impl Publish for Prompt {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

async fn select(connection: &mut PgConnection, id: Uuid) -> Result<Option<Prompt>> {
    let prompt = sqlx::query_as!(
        Prompt,
        r#"SELECT id, category_id, slug AS "slug: String", title, description, body, tags, copy_count, position,
               publication AS "publication: Publication", version, created_at, updated_at, deleted_at,
               prompt_steps_as_json(id) AS "steps!: Json<Vec<Step>>"
           FROM prompts WHERE id = $1"#,
        id
    );
    Ok(prompt.fetch_optional(connection).await?)
}

/// A prompt as lists show it to admins: without its long texts.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Prompt")]
pub struct PromptRow {
    pub id: Uuid,
    pub category_id: Uuid,
    pub slug: String,
    pub title: String,
    pub tags: Vec<String>,
    pub copy_count: i32,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Sort key of lists: the position and the id.
pub type Key = (i32, Uuid);

/// Which prompts to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only prompts of this category.
    pub category_id: Option<Uuid>,
    /// Only prompts in this state.
    pub publication: Option<Publication>,
    /// The deleted prompts instead of those that are not.
    pub deleted: bool,
}

/// At most `limit` prompts in order, starting after `after`, including drafts and archived prompts.
pub async fn list_all(
    connection: &mut PgConnection,
    filter: Filter,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<PromptRow>> {
    let (position, id) = after.unzip();
    let prompts = sqlx::query_as!(
        PromptRow,
        r#"SELECT id, category_id, slug AS "slug: String", title, tags, copy_count, position,
               publication AS "publication: Publication", version, created_at, updated_at, deleted_at
           FROM prompts
           WHERE (deleted_at IS NOT NULL) = $1 AND ($2::publication IS NULL OR publication = $2)
             AND ($3::uuid IS NULL OR category_id = $3)
             AND (position, id) >
                 (coalesce($4, -2147483648), coalesce($5, '00000000-0000-0000-0000-000000000000'::uuid))
           ORDER BY position, id LIMIT $6"#,
        filter.deleted,
        filter.publication as Option<Publication>,
        filter.category_id,
        position,
        id,
        limit
    );
    Ok(prompts.fetch_all(connection).await?)
}

/// Finds a prompt whatever its publication, deleted or not.
pub async fn find_any(connection: &mut PgConnection, id: Uuid) -> Result<Prompt, Rejected<NotFound>> {
    select(connection, id).await?.or_not_found(Noun::Prompt)
}

/// Puts all prompts of a category that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, category_id: Uuid, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    let category =
        sqlx::query_scalar!("SELECT id FROM prompt_categories WHERE id = $1 AND deleted_at IS NULL", category_id);
    category.fetch_optional(&mut **tx).await?.or_not_found::<Refusal>(Noun::PromptCategory)?;
    let current = sqlx::query_scalar!(
        "SELECT id FROM (
             SELECT id, position FROM prompts WHERE category_id = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE
         ) p
         ORDER BY position, id",
        category_id
    );
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE prompts p SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE p.id = o.id AND p.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    resource::record_order(tx, Noun::Prompt, &current, order)?;
    Ok(())
}
