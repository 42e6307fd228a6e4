//! What somebody sees and may rely on with psql.

mod checks;
mod content_versions;
mod partitions;
mod tables;
mod triggers;
mod uses;
mod versions;
