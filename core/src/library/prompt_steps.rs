//! The steps of a prompt, which are edited as a part of it and by their ids.

use std::collections::HashSet;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::refusal::Rejected;
use crate::resource::Refusal;

/// A follow-up prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Identifies the step.
    pub id: Uuid,
    /// 1–200 characters.
    pub title: String,
    /// 1–20,000 characters.
    pub body: String,
    /// Whether the step is yet to be created, and its id is not one that an editor has named.
    #[serde(skip)]
    pub is_new: bool,
}

/// The steps of a prompt, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Steps(Vec<Step>);

impl Deref for Steps {
    type Target = [Step];
    fn deref(&self) -> &[Step] {
        &self.0
    }
}

impl From<Json<Vec<Step>>> for Steps {
    fn from(stored: Json<Vec<Step>>) -> Self {
        Self(stored.0)
    }
}

impl FromIterator<Step> for Steps {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl IntoIterator for Steps {
    type Item = Step;
    type IntoIter = std::vec::IntoIter<Step>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Steps {
    /// Stores these as the steps of the prompt, whose row the transaction has locked: keeps, changes and adds those that
    /// are listed, and deletes the others.
    pub(super) async fn save(&self, connection: &mut PgConnection, prompt_id: Uuid) -> Result<(), Rejected<Refusal>> {
        let existing =
            sqlx::query_scalar!("SELECT id FROM prompt_steps WHERE prompt_id = $1 AND deleted_at IS NULL", prompt_id);
        let existing = existing.fetch_all(&mut *connection).await?;
        self.check(&existing).map_err(Rejected::Refused)?;
        let ids: Vec<Uuid> = self.iter().map(|step| step.id).collect();
        let titles: Vec<&str> = self.iter().map(|step| step.title.as_str()).collect();
        let bodies: Vec<&str> = self.iter().map(|step| step.body.as_str()).collect();
        sqlx::query!(
            "WITH removed AS (
                 UPDATE prompt_steps SET deleted_at = now()
                 WHERE prompt_id = $1 AND deleted_at IS NULL AND id <> ALL ($2)
             )
             INSERT INTO prompt_steps AS s (id, prompt_id, title, body, position)
             SELECT id, $1, title, body, number - 1
             FROM unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS given (id, title, body, number)
             ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, position = excluded.position
             WHERE (s.title, s.body, s.position) IS DISTINCT FROM (excluded.title, excluded.body, excluded.position)",
            prompt_id,
            &ids,
            &titles as &[&str],
            &bodies as &[&str],
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Refuses an id that no step of the prompt has, and one that stands twice.
    fn check(&self, existing: &[Uuid]) -> Result<(), Refusal> {
        let mut kept = HashSet::new();
        for (index, step) in self.iter().enumerate().filter(|(_, step)| !step.is_new) {
            let message = if !existing.contains(&step.id) {
                "The prompt has no step with this id. Leave the id out to create one."
            } else if !kept.insert(step.id) {
                "Another step of the list has this id."
            } else {
                continue;
            };
            let pointer = format!("/steps/{index}/id").into();
            return Err(Refusal::Invalid { pointer, message: message.to_owned() });
        }
        Ok(())
    }
}
