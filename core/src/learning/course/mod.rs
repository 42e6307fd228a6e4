//! Course documents: a whole course as one file, YAML or JSON.
//!
//! [`parse`] reads and checks a document and tells every problem with its line. [`import()`] brings the database to what
//! the document says; [`export()`] writes the document of what the database holds.
//!
//! # What an import changes
//!
//! Objects are matched by slug (tasks within their lesson, stages within their roadmap; materials and steps, which have
//! none, by their order) and keep their ids, and with them what learners did. A deleted object whose slug is in the
//! document again is restored under its old id. What is not in the document:
//!
//! - modules, lessons, roadmaps, styles, terms, categories and prompts stay as they are, since several documents may
//!   share a database: archive or delete them by hand;
//! - a task, material or stage that is gone from a lesson or roadmap in the document, and a step that is gone from a
//!   prompt, is deleted (reversibly: see above); a lesson that is gone from a stage no longer stands in it.
//!
//! Importing the same document again writes nothing.

mod check;
mod document;
mod export;
mod import;
mod library;
mod node;
mod rules;
#[cfg(test)]
mod tests;

pub use self::document::*;
pub use self::export::{export, export_snapshot, to_yaml};
pub use self::import::{ImportError, Summary, import};
pub use self::library::*;
pub use self::node::Problem;

/// Reads a document, YAML or JSON (which is YAML), of at most 10 MB. Nothing of it may be used unless all of it is
/// right; otherwise returns the problems in the order of the file: the first [`MAX_FAULTS`](crate::schema::MAX_FAULTS)
/// departures from the schema, and all that a schema cannot say. A syntax error ends the reading and comes alone.
pub fn parse(text: &str) -> Result<Course, Vec<Problem>> {
    let document = node::read(text).map_err(|problem| vec![problem])?;
    let json = document.to_json();
    let mut problems = check::check(&document, &json);
    problems.extend(rules::check(&document));
    if problems.is_empty() {
        serde_json::from_value(json.value).map_err(|error| vec![document.at.problem(error.to_string())])
    } else {
        problems.sort();
        Err(problems)
    }
}
