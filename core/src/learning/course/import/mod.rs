//! Bringing the database to what a document says.

mod lessons;
mod library;
mod roadmaps;

use std::collections::HashMap;

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use super::Course;
use crate::activity::{Action, Noun, Verb};
use crate::clock::new_id;
use crate::db::Tx;
use crate::learning::recompute;

/// What an import did, counted in objects: a lesson, a task, a place of a lesson in a stage, ….
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Did not exist.
    pub created: u64,
    /// Were different, or deleted.
    pub updated: u64,
    /// Were as the document says.
    pub unchanged: u64,
    /// Were no longer in something that is in the document.
    pub removed: u64,
}

impl Summary {
    /// Whether the database is different now.
    pub fn changed_anything(&self) -> bool {
        self.created + self.updated + self.removed > 0
    }
}

/// Why a valid document could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Something that is not in the document holds a name that the document wants, or somebody edits the same content
    /// right now. One line.
    #[error("the document does not fit what is in the database: {0}")]
    Conflict(String),
    /// An internal failure.
    #[error(transparent)]
    Failed(#[from] crate::Error),
}

impl From<sqlx::Error> for ImportError {
    #[track_caller]
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) {
            // Unique violation, deadlock.
            Some(error) if error.code() == "23505" => {
                Self::Conflict(error.detail().unwrap_or_else(|| error.message()).to_owned())
            }
            Some(error) if error.code() == "40P01" => {
                Self::Conflict("it is being edited at the same time; import again".to_owned())
            }
            _ => Self::Failed(error.into()),
        }
    }
}

/// Brings the database to what `course` says, all or nothing: see the [module](super) for what that means. Imports of
/// several processes queue. Where learners' numbers depend on what changed, their recomputation is enqueued. `progress`
/// is told how many of how many objects are done. Commit `tx` afterwards.
pub async fn import(
    tx: &mut Tx,
    course: &Course,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Summary, ImportError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('course import', 0))").execute(&mut **tx).await?;
    let total = count(course);
    let mut importer =
        Importer { connection: &mut *tx, summary: Summary::default(), done: 0, total, progress: &mut progress };
    let lesson_ids = lessons::import(&mut importer, course).await?;
    roadmaps::import(&mut importer, course, &lesson_ids).await?;
    library::import(&mut importer, course).await?;
    let summary = importer.summary;
    if summary.changed_anything() {
        recompute::enqueue_stale(tx).await?;
        let metadata = serde_json::to_value(summary).map_err(crate::Error::from)?;
        tx.record(Action::new(Noun::Course, Verb::Imported).with(metadata))?;
    }
    Ok(summary)
}

fn count(course: &Course) -> u64 {
    let lessons = course.modules.iter().flat_map(|module| &module.lessons);
    let stages = course.roadmaps.iter().flat_map(|roadmap| &roadmap.stages);
    let count = course.modules.len()
        + lessons.map(|lesson| 1 + lesson.materials.len() + lesson.tasks.len()).sum::<usize>()
        + course.roadmaps.len()
        + stages.map(|stage| 1 + stage.lessons.len()).sum::<usize>()
        + course.styles.len()
        + course.glossary.len()
        + course.prompt_categories.len()
        + course.prompts.iter().map(|prompt| 1 + prompt.steps.len()).sum::<usize>();
    count as u64
}

/// An import on its way: one section after the other, each in a few set-based statements.
struct Importer<'a> {
    connection: &'a mut PgConnection,
    summary: Summary,
    done: u64,
    total: u64,
    progress: &'a mut (dyn FnMut(u64, u64) + Send),
}

impl Importer<'_> {
    /// Ends a section: `written` of its objects were not as the document says.
    fn section(&mut self, places: &[Place], written: usize, removed: u64) {
        let created = places.iter().filter(|place| place.is_new).count() as u64;
        let (all, written) = (places.len() as u64, written as u64);
        self.summary.created += created;
        self.summary.updated += written - created;
        self.summary.unchanged += all - written;
        self.summary.removed += removed;
        self.done += all;
        (self.progress)(self.done, self.total);
    }
}

/// An object of the document: what it is known by, and the object inside which it is ordered (nil = the whole table).
type Item<'a> = (Uuid, &'a str);

/// What stands in the database under a key: of several, the one that is not deleted, or else the last one deleted.
struct Found {
    /// Inside which object it is ordered.
    parent: Uuid,
    key: String,
    id: Uuid,
    position: i32,
}

/// Where an object of the document goes.
struct Place {
    id: Uuid,
    position: i32,
    is_new: bool,
}

/// Decides ids and positions. Items come in document order, those of one parent together.
///
/// Positions that give the document's order already are kept, whatever their values, so that importing what was
/// exported changes nothing; otherwise the items of that parent are numbered from 0.
fn settle(items: &[Item<'_>], found: &[Found], keys_are_per_parent: bool) -> Vec<Place> {
    let scope = |parent: Uuid| if keys_are_per_parent { parent } else { Uuid::nil() };
    let by_key: HashMap<(Uuid, &str), &Found> =
        found.iter().map(|found| ((scope(found.parent), found.key.as_str()), found)).collect();
    let mut places = Vec::with_capacity(items.len());
    for siblings in items.chunk_by(|a, b| a.0 == b.0) {
        let olds: Vec<Option<&Found>> =
            siblings.iter().map(|(parent, key)| by_key.get(&(scope(*parent), key)).copied()).collect();
        // Those that stand inside this parent already; they must come first, in order.
        let here: Vec<(i32, Uuid)> = siblings
            .iter()
            .zip(&olds)
            .map_while(|((parent, _), old)| old.filter(|old| old.parent == *parent))
            .map(|old| (old.position, old.id))
            .collect();
        let others_are_new = olds[here.len()..].iter().all(Option::is_none);
        let keep = others_are_new && here.is_sorted_by(|a, b| a < b);
        let mut next = 0;
        for old in olds {
            let position = old.filter(|_| keep).map_or(next, |old| old.position);
            next = position + 1;
            places.push(Place { id: old.map_or_else(new_id, |old| old.id), position, is_new: old.is_none() });
        }
    }
    places
}

/// Ids by slug.
fn ids_by_key<'a>(items: &[Item<'a>], places: &[Place]) -> HashMap<&'a str, Uuid> {
    items.iter().zip(places).map(|((_, key), place)| (*key, place.id)).collect()
}

fn ids(places: &[Place]) -> Vec<Uuid> {
    places.iter().map(|place| place.id).collect()
}

fn keys(items: &[Item<'_>]) -> Vec<String> {
    items.iter().map(|(_, key)| (*key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(parent: u128, key: &str, id: u128, position: i32) -> Found {
        Found { parent: Uuid::from_u128(parent), key: key.to_owned(), id: Uuid::from_u128(id), position }
    }

    fn positions(items: &[(u128, &str)], found: &[Found], per_parent: bool) -> Vec<i32> {
        let items: Vec<Item<'_>> = items.iter().map(|(parent, key)| (Uuid::from_u128(*parent), *key)).collect();
        settle(&items, found, per_parent).iter().map(|place| place.position).collect()
    }

    #[test]
    fn positions_in_order_are_kept_and_new_ones_follow() {
        let old = [found(1, "a", 1, 3), found(1, "b", 2, 7), found(1, "c", 3, 7)];
        assert_eq!(positions(&[(1, "a"), (1, "b"), (1, "c")], &old, true), [3, 7, 7]);
        assert_eq!(positions(&[(1, "a"), (1, "c"), (1, "d"), (1, "e")], &old, true), [3, 7, 8, 9]);
    }

    #[test]
    fn positions_out_of_order_are_numbered_anew() {
        let old = [found(1, "a", 1, 3), found(1, "b", 2, 7)];
        assert_eq!(positions(&[(1, "b"), (1, "a")], &old, true), [0, 1]);
        assert_eq!(positions(&[(1, "new"), (1, "a"), (1, "b")], &old, true), [0, 1, 2]);
        assert_eq!(positions(&[(1, "a"), (2, "b")], &[found(1, "a", 1, 3), found(1, "b", 2, 7)], false), [3, 0]);
    }

    #[test]
    fn ids_are_kept_across_parents_only_where_keys_are_global() {
        let old = [found(1, "a", 9, 0)];
        let moved = [(Uuid::from_u128(2), "a")];
        assert_eq!(settle(&moved, &old, false)[0].id, Uuid::from_u128(9));
        assert!(settle(&moved, &old, true)[0].is_new);
    }
}
