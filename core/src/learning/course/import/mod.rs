//! Changes the database to match a document.

mod lessons;
mod library;
mod roadmaps;
mod rows;

use self::rows::Importer;
pub use self::rows::{ImportError, Summary};
use super::document::Course;
use crate::activity::{Action, Verb};
use crate::db::{Purpose, Tx};
use crate::learning::{recompute, task_changes};
use crate::noun::Noun;

/// Changes the database to match `course` in the caller's transaction, as described in the [module](super). Concurrent
/// imports wait for each other. Where the change affects learners' progress, its recomputation is enqueued.
/// `progress` is called with the number of finished objects and the total number.
pub async fn import(
    tx: &mut Tx,
    course: &Course,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Summary, ImportError> {
    // It locks what learners need. Whoever imports may be suspended at any moment, and is not waited for.
    tx.limit_as(Purpose::Imports).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('course import', 0))").execute(&mut **tx).await?;
    let total = count(course);
    let mut importer = Importer::new(tx, total, &mut progress);
    let lesson_ids = lessons::import(&mut importer, course).await?;
    roadmaps::import(&mut importer, course, &lesson_ids).await?;
    library::import(&mut importer, course).await?;
    let summary = importer.summary;
    if summary.changed_anything() {
        recompute::enqueue_stale(tx).await?;
        task_changes::enqueue_marked(tx).await?;
        let metadata = serde_json::to_value(summary).map_err(crate::Error::from)?;
        tx.record(Action::new(Noun::Course, Verb::Imported).with(metadata))?;
    }
    Ok(summary)
}

/// The number of objects in a document.
pub fn count(course: &Course) -> u64 {
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
