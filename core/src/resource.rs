//! Rows that admins edit: one way to create, change, publish, delete and restore them.
//!
//! A row type defines how it is found and saved ([`Resource`]); everything else follows. Each change names the version
//! that its author has seen, so that it cannot overwrite a change that they have not seen, and is recorded with the
//! values before and after. Deleting marks the row, so that it can be restored, and its slug can be reused meanwhile.

use std::borrow::Cow;
use std::future::Future;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::schema::Fault;

/// Whether content can be seen. Drafts and archived content exist for admins only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[sqlx(type_name = "publication", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// Not shown yet.
    #[default]
    Draft,
    /// Shown to everyone who may see it.
    Published,
    /// No longer shown.
    Archived,
}

/// A row that admins edit. The trigger `touch_row` raises its version with every change.
pub trait Resource: Clone + PartialEq + Serialize + Send + Sync + 'static {
    /// What it is called in the activity log.
    const NOUN: Noun;

    /// Identifies the row.
    fn id(&self) -> Uuid;
    /// What people call it.
    fn title(&self) -> &str;
    /// Its version; 0 before it was first saved.
    fn version(&self) -> i64;
    /// When it was deleted; `None` while it is live.
    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>>;

    /// The row with that id, deleted or not, locked until the end of the transaction.
    fn lock(connection: &mut PgConnection, id: Uuid) -> impl Future<Output = Result<Option<Self>>> + Send;
    /// Inserts the row, or updates the one that has its id. Returns it as stored. Its named constraints are refusals.
    fn save(&self, connection: &mut PgConnection) -> impl Future<Output = Result<Self, Rejected<Refusal>>> + Send;

    /// Does what follows from a change that was just saved, in the same transaction, or refuses the change. `before` is
    /// `None` for a new row.
    fn after_save(
        &self,
        _tx: &mut Tx,
        _before: Option<&Self>,
    ) -> impl Future<Output = Result<(), Rejected<Refusal>>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A resource that is shown to learners once it is published.
pub trait Publish: Resource {
    /// Whether it is shown.
    fn publication(&mut self) -> &mut Publication;
}

/// Why a resource is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such resource.
    NotFound(NotFound),
    /// It has changed since the version that the caller has seen.
    Stale {
        /// The version that it has now.
        current: i64,
    },
    /// It is deleted, and can only be restored.
    Deleted,
    /// Another live resource has the same value of this member.
    Taken {
        /// The member, such as `slug`.
        member: &'static str,
    },
    /// The change would leave the platform without an active admin.
    LastAdmin,
    /// A member has a value that the resource cannot have.
    Invalid {
        /// JSON pointer to the member.
        pointer: Cow<'static, str>,
        /// What is expected, in a sentence.
        message: String,
    },
    /// Members that contradict each other, or refer to what is not there. Never empty.
    Faults(Vec<Fault>),
    /// The list that the resource belongs to has as many as it can have.
    Full {
        /// How many that is.
        limit: usize,
    },
    /// Others that are not deleted belong to it.
    InUse {
        /// What they are.
        noun: Noun,
        /// How many there are.
        count: i64,
    },
    /// What it belongs to is deleted.
    ParentDeleted(Noun),
    /// An order that does not name every live resource of the list exactly once.
    OrderMismatch {
        /// How many are missing from it.
        missing: usize,
        /// How many it names that are not in the list, or more than once.
        unexpected: usize,
    },
}

impl From<NotFound> for Refusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Saves a new resource and records it.
pub async fn create<R: Resource>(tx: &mut Tx, resource: &R) -> Result<R, Rejected<Refusal>> {
    let created = resource.save(tx).await?;
    created.after_save(tx, None).await?;
    record(tx, Verb::Created, None, &created, None)?;
    Ok(created)
}

type Change<R> = Box<dyn FnOnce(&mut R) -> Result<(), Refusal> + Send>;

/// A change of a loaded row, and how it is recorded.
pub struct Edit<R> {
    verb: Verb,
    change: Change<R>,
    reason: Option<String>,
}

impl<R: 'static> Edit<R> {
    /// The change that `change` makes; it may refuse.
    pub fn new(verb: Verb, change: impl FnOnce(&mut R) -> Result<(), Refusal> + Send + 'static) -> Self {
        Self { verb, change: Box::new(change), reason: None }
    }

    /// The same, and then what `next` changes.
    #[must_use]
    pub fn then(self, next: impl FnOnce(&mut R) -> Result<(), Refusal> + Send + 'static) -> Self {
        let first = self.change;
        let change: Change<R> = Box::new(move |row| {
            first(row)?;
            next(row)
        });
        Self { change, ..self }
    }

    /// Records why it is done.
    #[must_use]
    pub fn because(self, reason: String) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

/// Shows the resource to learners.
pub fn publish<R: Publish>() -> Edit<R> {
    Edit::new(Verb::Published, |row: &mut R| {
        *row.publication() = Publication::Published;
        Ok(())
    })
}

/// Takes the resource away from learners, and keeps it.
pub fn archive<R: Publish>() -> Edit<R> {
    Edit::new(Verb::Archived, |row: &mut R| {
        *row.publication() = Publication::Archived;
        Ok(())
    })
}

/// Deletes the resource, so that only admins see it, and its slug can be used again.
pub fn delete<R: Resource>(now: DateTime<Utc>) -> Edit<R> {
    Edit::new(Verb::Deleted, move |row: &mut R| {
        row.deleted_at().get_or_insert(now);
        Ok(())
    })
}

/// Brings a deleted resource back as it was. Refused while another has its slug.
pub fn restore<R: Resource>() -> Edit<R> {
    Edit::new(Verb::Restored, |row: &mut R| {
        *row.deleted_at() = None;
        Ok(())
    })
}

/// Changes the resource with that id, which the caller has seen as `version`, and records what was before and after.
///
/// What the edit leaves as it was is not saved, and not recorded. A deleted resource can only be restored.
pub async fn edit<R: Resource>(tx: &mut Tx, id: Uuid, version: i64, edit: Edit<R>) -> Result<R, Rejected<Refusal>> {
    let before = R::lock(tx, id).await?.or_not_found(R::NOUN)?;
    if before.version() != version {
        return Err(Rejected::Refused(Refusal::Stale { current: before.version() }));
    }
    let mut after = before.clone();
    if after.deleted_at().is_some() && !matches!(edit.verb, Verb::Restored | Verb::Deleted) {
        return Err(Rejected::Refused(Refusal::Deleted));
    }
    (edit.change)(&mut after).map_err(Rejected::Refused)?;
    if after == before {
        return Ok(before);
    }
    let saved = after.save(tx).await?;
    saved.after_save(tx, Some(&before)).await?;
    record(tx, edit.verb, Some(&before), &saved, edit.reason)?;
    Ok(saved)
}

/// Checks that `order` names each of `current` exactly once.
pub fn check_order(current: &[Uuid], order: &[Uuid]) -> Result<(), Refusal> {
    let [mut expected, mut given] = [current.to_vec(), order.to_vec()];
    expected.sort_unstable();
    given.sort_unstable();
    if expected == given {
        return Ok(());
    }
    let missing = expected.iter().filter(|id| given.binary_search(id).is_err()).count();
    Err(Refusal::OrderMismatch { missing, unexpected: given.len() + missing - expected.len() })
}

/// Records that a list was put into another order, unless it was in it already.
pub fn record_order(tx: &mut Tx, noun: Noun, before: &[Uuid], after: &[Uuid]) -> Result<()> {
    record_order_in(tx, noun, None, before, after)
}

/// As [`record_order`], for the list of things within `parent`.
pub fn record_order_in(tx: &mut Tx, noun: Noun, parent: Option<Target>, before: &[Uuid], after: &[Uuid]) -> Result<()> {
    if before == after {
        return Ok(());
    }
    tx.record(Action::new(noun, Verb::Reordered).target(parent).with(json!({ "before": before, "after": after })))
}

/// Records a change with the members that differ, and the reason if one was given.
pub(crate) fn record<R: Resource>(
    tx: &mut Tx,
    verb: Verb,
    before: Option<&R>,
    after: &R,
    reason: Option<String>,
) -> Result<()> {
    let (before, full) = (before.map(members).transpose()?.unwrap_or_default(), members(after)?);
    let differ = |from: &Map<String, Value>, to: &Map<String, Value>| -> Map<String, Value> {
        to.iter().filter(|(name, value)| from.get(*name) != Some(value)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let mut details = json!({ "before": differ(&full, &before), "after": differ(&before, &full) });
    if let Some(reason) = reason {
        details["reason"] = reason.into();
    }
    tx.record(Action::new(R::NOUN, verb).on(after.id(), after.title()).with(details))
}

/// What of a resource is worth recording: not what follows from the change itself.
fn members<R: Resource>(resource: &R) -> Result<Map<String, Value>> {
    let Value::Object(mut members) = serde_json::to_value(resource)? else { return Ok(Map::new()) };
    for derived in ["version", "updated_at"] {
        members.remove(derived);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_everything_once() {
        let ids: Vec<Uuid> = (0..4).map(Uuid::from_u128).collect();
        assert_eq!(check_order(&ids[..3], &[ids[2], ids[0], ids[1]]), Ok(()));
        assert_eq!(check_order(&[], &[]), Ok(()));
        for (order, missing, unexpected) in
            [(&ids[..2], 1, 0), (&ids[..4], 0, 1), (&[ids[0], ids[0], ids[1]][..], 1, 1), (&[ids[3]], 3, 1)]
        {
            assert_eq!(check_order(&ids[..3], order), Err(Refusal::OrderMismatch { missing, unexpected }));
        }
    }
}
