//! The schema: what people who use psql see and can rely on.

mod checks;
mod content_versions;
mod functions;
mod partitions;
mod roles;
mod tables;
mod triggers;
mod uses;
mod versions;
