//! The commands of `cairn`.

pub(crate) mod admin;
pub(crate) mod adopt;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod import_legacy;
pub(crate) mod invite;
pub(crate) mod jobs;
pub(crate) mod migrate;
pub(crate) mod psql;
pub(crate) mod simulate;
pub(crate) mod verify;
