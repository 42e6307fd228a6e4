//! Integration tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::type_complexity, reason = "rows are read as tuples")]
#![expect(clippy::too_many_lines, reason = "a table of cases is as long as it is")]

mod audit;
mod course;
mod hosts;
mod jobs;
mod library;
mod limits;
mod lists;
mod rollup;
mod schema;
mod search_index;
mod silence;
mod users;
mod verify;
