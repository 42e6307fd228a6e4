//! Helpers shared by the sections of an import: matching objects with existing rows, and counting changes.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::clock::new_id;

/// What an import did, counted in objects. A lesson, a task and the placement of a lesson in a stage are an object each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Objects that did not exist before.
    pub created: u64,
    /// Objects that differed from the document, or were deleted.
    pub updated: u64,
    /// Objects that matched the document already.
    pub unchanged: u64,
    /// Objects whose lesson, roadmap, stage or prompt is in the document, but no longer contains them.
    pub removed: u64,
}

impl Summary {
    /// Whether the import changed the database.
    pub fn changed_anything(&self) -> bool {
        self.created + self.updated + self.removed > 0
    }
}

/// Why a valid document could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An object that is not in the document has a name that the document uses, or someone is editing the same content at
    /// the same time. The message is a single line.
    #[error("the document conflicts with the database: {0}")]
    Conflict(String),
    /// An internal failure.
    #[error(transparent)]
    Failed(#[from] crate::Error),
}

impl From<sqlx::Error> for ImportError {
    #[track_caller]
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) {
            // Unique violation.
            Some(error) if error.code() == "23505" => {
                Self::Conflict(error.detail().unwrap_or_else(|| error.message()).to_owned())
            }
            // Deadlock.
            Some(error) if error.code() == "40P01" => {
                Self::Conflict("its content is being edited at the same time; try the import again".to_owned())
            }
            _ => Self::Failed(error.into()),
        }
    }
}

/// An import in progress: one section after another, each in a few set-based statements.
pub(super) struct Importer<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) summary: Summary,
    done: u64,
    total: u64,
    progress: &'a mut (dyn FnMut(u64, u64) + Send),
}

impl<'a> Importer<'a> {
    /// Begins an import of `total` objects.
    pub(super) fn new(
        connection: &'a mut PgConnection,
        total: u64,
        progress: &'a mut (dyn FnMut(u64, u64) + Send),
    ) -> Self {
        Self { connection, summary: Summary::default(), done: 0, total, progress }
    }

    /// Finishes a section. `written` is the number of objects that were created or updated.
    pub(super) fn finish_section(&mut self, rows: &[TargetRow], written: usize, removed: u64) {
        let created = rows.iter().filter(|row| row.is_new).count() as u64;
        let (all, written) = (rows.len() as u64, written as u64);
        self.summary.created += created;
        self.summary.updated += written - created;
        self.summary.unchanged += all - written;
        self.summary.removed += removed;
        self.done += all;
        (self.progress)(self.done, self.total);
    }
}

/// An object of the document: the id of the object within which it is ordered (nil if it is ordered within its whole
/// table), and the key by which it is matched.
pub(super) type Item<'a> = (Uuid, &'a str);

/// The existing row with a key. If there are several, the one that is not deleted, or else the one deleted last.
pub(super) struct ExistingRow {
    /// The object within which the row is ordered.
    pub(super) parent: Uuid,
    pub(super) key: String,
    pub(super) id: Uuid,
    pub(super) position: i32,
}

/// The row that an object of the document is written to.
pub(super) struct TargetRow {
    pub(super) id: Uuid,
    pub(super) position: i32,
    pub(super) is_new: bool,
}

/// Assigns a row and a position to each item. Items come in document order, and items of one parent are adjacent.
///
/// If the existing positions already have the order of the document, they are kept, whatever their values are, so that
/// importing an exported document changes nothing. Otherwise the items of that parent are numbered from 0.
pub(super) fn assign_rows(items: &[Item<'_>], existing: &[ExistingRow], keys_are_per_parent: bool) -> Vec<TargetRow> {
    let scope = |parent: Uuid| if keys_are_per_parent { parent } else { Uuid::nil() };
    let by_key: HashMap<(Uuid, &str), &ExistingRow> =
        existing.iter().map(|row| ((scope(row.parent), row.key.as_str()), row)).collect();
    let mut rows = Vec::with_capacity(items.len());
    for siblings in items.chunk_by(|a, b| a.0 == b.0) {
        let olds: Vec<Option<&ExistingRow>> =
            siblings.iter().map(|(parent, key)| by_key.get(&(scope(*parent), key)).copied()).collect();
        // Positions can be kept only if the items that already belong to this parent come first, in order.
        let kept: Vec<(i32, Uuid)> = siblings
            .iter()
            .zip(&olds)
            .map_while(|((parent, _), old)| old.filter(|old| old.parent == *parent))
            .map(|old| (old.position, old.id))
            .collect();
        let others_are_new = olds[kept.len()..].iter().all(Option::is_none);
        let keeps_positions = others_are_new && kept.is_sorted_by(|a, b| a < b);
        let mut next = 0;
        for old in olds {
            let position = old.filter(|_| keeps_positions).map_or(next, |old| old.position);
            next = position + 1;
            rows.push(TargetRow { id: old.map_or_else(new_id, |old| old.id), position, is_new: old.is_none() });
        }
    }
    rows
}

/// The ids of existing parents of which children were written or removed. Their version has to be raised, because children
/// are edited as part of them; a new parent has its first version in any case.
pub(super) fn changed_parents(parents: &[TargetRow], written: &[Uuid], removed: &[Uuid]) -> Vec<Uuid> {
    let changed: HashSet<Uuid> = written.iter().chain(removed).copied().collect();
    parents.iter().filter(|parent| !parent.is_new && changed.contains(&parent.id)).map(|parent| parent.id).collect()
}

/// The ids of the rows by the keys of their items.
pub(super) fn ids_by_key<'a>(items: &[Item<'a>], rows: &[TargetRow]) -> HashMap<&'a str, Uuid> {
    items.iter().zip(rows).map(|((_, key), row)| (*key, row.id)).collect()
}

pub(super) fn ids(rows: &[TargetRow]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}

pub(super) fn keys(items: &[Item<'_>]) -> Vec<String> {
    items.iter().map(|(_, key)| (*key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn existing(parent: u128, key: &str, id: u128, position: i32) -> ExistingRow {
        ExistingRow { parent: Uuid::from_u128(parent), key: key.to_owned(), id: Uuid::from_u128(id), position }
    }

    fn positions(items: &[(u128, &str)], existing: &[ExistingRow], per_parent: bool) -> Vec<i32> {
        let items: Vec<Item<'_>> = items.iter().map(|(parent, key)| (Uuid::from_u128(*parent), *key)).collect();
        assign_rows(&items, existing, per_parent).iter().map(|row| row.position).collect()
    }

    #[test]
    fn positions_in_order_are_kept_and_new_items_follow() {
        let old = [existing(1, "a", 1, 3), existing(1, "b", 2, 7), existing(1, "c", 3, 7)];
        assert_eq!(positions(&[(1, "a"), (1, "b"), (1, "c")], &old, true), [3, 7, 7]);
        assert_eq!(positions(&[(1, "a"), (1, "c"), (1, "d"), (1, "e")], &old, true), [3, 7, 8, 9]);
    }

    #[test]
    fn items_out_of_order_are_renumbered() {
        let old = [existing(1, "a", 1, 3), existing(1, "b", 2, 7)];
        assert_eq!(positions(&[(1, "b"), (1, "a")], &old, true), [0, 1]);
        assert_eq!(positions(&[(1, "new"), (1, "a"), (1, "b")], &old, true), [0, 1, 2]);
        assert_eq!(positions(&[(1, "a"), (2, "b")], &[existing(1, "a", 1, 3), existing(1, "b", 2, 7)], false), [3, 0]);
    }

    #[test]
    fn a_row_moves_to_another_parent_only_if_keys_are_global() {
        let old = [existing(1, "a", 9, 0)];
        let moved = [(Uuid::from_u128(2), "a")];
        assert_eq!(assign_rows(&moved, &old, false)[0].id, Uuid::from_u128(9));
        assert!(assign_rows(&moved, &old, true)[0].is_new);
    }
}
