//! Prompts as learners see them: published, and in a category that is not deleted.

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::items::ItemKind;
use super::prompt_steps::{Step, Steps};
use super::uses;
use crate::Result;
use crate::activity::{Action, Verb};
use crate::actor::Caller;
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A prompt with its steps, as a particular reader sees it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in prompts::Prompt")]
pub struct VisiblePrompt {
    pub id: Uuid,
    pub category_id: Uuid,
    pub slug: String,
    pub title: String,
    pub description: String,
    pub body: String,
    pub tags: Vec<String>,
    pub copy_count: i32,
    /// Whether it is among the reader's favorites.
    pub is_favorite: bool,
    pub steps: Steps,
}

/// A prompt as lists show it to a particular reader.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in VisiblePrompt")]
pub struct PromptSummary {
    pub id: Uuid,
    pub category_id: Uuid,
    pub slug: String,
    pub title: String,
    /// The beginning of the description, at most 300 characters.
    pub summary: String,
    pub tags: Vec<String>,
    pub copy_count: i32,
    pub steps_count: i64,
    pub is_favorite: bool,
    pub position: i32,
}

/// Sort key of lists: the position and the id.
pub type Key = (i32, Uuid);

/// Which prompts to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only prompts of this category.
    pub category_id: Option<Uuid>,
    /// Only prompts that have all of these tags.
    pub tags: Vec<String>,
}

/// Selects a page of prompts; `$of` is a further condition. A category has a statement of its own, and so an index.
///
/// Plans do not know their parameters. `CASE` keeps the planner from expecting that almost no prompt has the tags, and from
/// sorting all of them. `EXISTS` could be planned as a read of all favorites instead of those of the page.
macro_rules! select_page {
    ($of:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            PromptSummary,
            r#"SELECT p.id AS "id!", p.category_id AS "category_id!", p.slug AS "slug!: String", p.title AS "title!",
                   left(p.description, 300) AS "summary!", p.tags AS "tags!", p.copy_count AS "copy_count!",
                   (SELECT count(*) FROM prompt_steps s WHERE s.prompt_id = p.id AND s.deleted_at IS NULL)
                       AS "steps_count!",
                   coalesce((SELECT true FROM user_prompt_favorites f WHERE f.user_id = $1 AND f.prompt_id = p.id), false)
                       AS "is_favorite!",
                   p.position AS "position!"
               FROM visible_prompts p
               WHERE CASE WHEN cardinality($2::text[]) = 0 THEN true ELSE p.tags @> $2 END
                 AND (p.position, p.id) >
                     (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid)) "#
                + $of
                + " ORDER BY p.position, p.id LIMIT $5",
            $($argument),*
        )
    };
}

/// At most `limit` prompts in order, starting after `after`.
pub async fn list(
    connection: &mut PgConnection,
    caller: &Caller,
    filter: &Filter,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<PromptSummary>> {
    let ((position, id), user_id) = (after.unzip(), caller.user_id);
    let Filter { category_id, tags } = filter;
    let prompts = match category_id {
        None => select_page!("", user_id, tags, position, id, limit).fetch_all(connection).await,
        Some(category_id) => {
            let of = select_page!("AND p.category_id = $6", user_id, tags, position, id, limit, category_id);
            of.fetch_all(connection).await
        }
    };
    Ok(prompts?)
}

/// Finds a prompt that learners may see.
pub async fn find(
    connection: &mut PgConnection,
    caller: &Caller,
    id: Uuid,
) -> Result<VisiblePrompt, Rejected<NotFound>> {
    let prompt = sqlx::query_as!(
        VisiblePrompt,
        r#"SELECT p.id AS "id!", p.category_id AS "category_id!", p.slug AS "slug!: String", p.title AS "title!",
               p.description AS "description!", p.body AS "body!", p.tags AS "tags!", p.copy_count AS "copy_count!",
               EXISTS (SELECT FROM user_prompt_favorites f WHERE f.user_id = $1 AND f.prompt_id = p.id) AS "is_favorite!",
               prompt_steps_as_json(p.id) AS "steps!: Json<Vec<Step>>"
           FROM visible_prompts p WHERE p.id = $2"#,
        caller.user_id,
        id
    );
    prompt.fetch_optional(connection).await?.or_not_found(Noun::Prompt)
}

/// Records that the caller copied a prompt. The worker counts the copies.
pub async fn record_copy(tx: &mut UserTx, id: Uuid) -> Result<(), Rejected<NotFound>> {
    let prompt = sqlx::query!(r#"SELECT title AS "title!" FROM visible_prompts WHERE id = $1"#, id);
    let prompt = prompt.fetch_optional(&mut ***tx).await?.or_not_found::<NotFound>(Noun::Prompt)?;
    uses::record(tx, ItemKind::Prompt, id).await?;
    tx.record(Action::new(Noun::Prompt, Verb::Copied).on(id, &prompt.title))?;
    Ok(())
}
