//! Style cards: visual styles, each with a prompt that asks an assistant for it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::items::ItemKind;
use super::uses;
use crate::Result;
use crate::activity::{Action, Verb};
use crate::db::{Tx, UserTx};
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Publication, Publish, Refusal, Resource};

/// The category of a style. The list is fixed, so that programs can rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[sqlx(type_name = "style_category", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each names itself")]
pub enum StyleCategory {
    #[default]
    Minimal,
    Editorial,
    Brutalist,
    Playful,
    Corporate,
    Retro,
    Futuristic,
    Organic,
}

/// A style card. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table style_cards, which documents them")]
pub struct Style {
    pub id: Uuid,
    pub slug: String,
    pub title: String,
    pub category: StyleCategory,
    pub description: String,
    pub prompt: String,
    pub tags: Vec<String>,
    pub preview_url: Option<String>,
    #[serde(skip)]
    pub usage_count: i32,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Selects style cards from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_styles {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Style,
            $with
                + r#" SELECT id AS "id!", slug AS "slug!: String", title AS "title!",
                       category AS "category!: StyleCategory", description AS "description!", prompt AS "prompt!",
                       tags AS "tags!", preview_url AS "preview_url: String", usage_count AS "usage_count!",
                       position AS "position!", publication AS "publication!: Publication", version AS "version!",
                       created_at AS "created_at!", updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Style {
    const NOUN: Noun = Noun::Style;

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
        let style = select_styles!("", "style_cards WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(style.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let saved = select_styles!(
            "WITH saved AS (
                 INSERT INTO style_cards (id, slug, title, category, description, prompt, tags, preview_url, position,
                     publication, deleted_at)
                 VALUES ($1, $2::text, $3, $4, $5, $6, $7, $8::text, $9, $10, $11)
                 ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, title = excluded.title,
                     category = excluded.category, description = excluded.description, prompt = excluded.prompt,
                     tags = excluded.tags, preview_url = excluded.preview_url, position = excluded.position,
                     publication = excluded.publication, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.slug,
            self.title,
            self.category as StyleCategory,
            self.description,
            self.prompt,
            &self.tags,
            self.preview_url,
            self.position,
            self.publication as Publication,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        saved.on_constraint("style_cards_slug_key", Refusal::Taken { member: "slug" })
    }
}

impl Publish for Style {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

/// Sort key of lists: the position and the id.
pub type Key = (i32, Uuid);

/// Which style cards to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only cards of this category; `None` for any category.
    pub category: Option<StyleCategory>,
    /// Only cards that have all of these tags.
    pub tags: Vec<String>,
}

/// At most `limit` published style cards in order, starting after `after`.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Style>> {
    let (position, id) = after.unzip();
    let styles = select_styles!(
        "",
        "style_cards
         WHERE deleted_at IS NULL AND publication = 'published' AND ($1::style_category IS NULL OR category = $1)
           AND tags @> $2
           AND (position, id) > (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY position, id LIMIT $5",
        filter.category as Option<StyleCategory>,
        &filter.tags,
        position,
        id,
        limit
    );
    Ok(styles.fetch_all(connection).await?)
}

/// At most `limit` style cards in order, starting after `after`, including drafts and archived cards. Lists either the
/// deleted cards or those that are not.
pub async fn list_all(
    connection: &mut PgConnection,
    publication: Option<Publication>,
    deleted: bool,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Style>> {
    let (position, id) = after.unzip();
    let styles = select_styles!(
        "",
        "style_cards
         WHERE (deleted_at IS NOT NULL) = $1 AND ($2::publication IS NULL OR publication = $2)
           AND (position, id) > (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY position, id LIMIT $5",
        deleted,
        publication as Option<Publication>,
        position,
        id,
        limit
    );
    Ok(styles.fetch_all(connection).await?)
}

/// Finds a published style card.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Style, Rejected<NotFound>> {
    let style =
        select_styles!("", "style_cards WHERE id = $1 AND deleted_at IS NULL AND publication = 'published'", id);
    style.fetch_optional(connection).await?.or_not_found(Noun::Style)
}

/// Finds a style card whatever its publication, deleted or not.
pub async fn find_any(connection: &mut PgConnection, id: Uuid) -> Result<Style, Rejected<NotFound>> {
    let style = select_styles!("", "style_cards WHERE id = $1", id);
    style.fetch_optional(connection).await?.or_not_found(Noun::Style)
}

/// Records that the caller used a published style card. The worker counts the uses.
pub async fn record_use(tx: &mut UserTx, id: Uuid) -> Result<(), Rejected<NotFound>> {
    let style = find(tx, id).await?;
    uses::record(tx, ItemKind::Style, id).await?;
    tx.record(Action::new(Noun::Style, Verb::Used).on(id, &style.title))?;
    Ok(())
}

/// Puts all style cards that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    let current = sqlx::query_scalar!(
        "SELECT id FROM (SELECT id, position FROM style_cards WHERE deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE) s
         ORDER BY position, id"
    );
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE style_cards s SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE s.id = o.id AND s.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    resource::record_order(tx, Noun::Style, &current, order)?;
    Ok(())
}
