//! Operations for admins.

pub mod library;
pub mod operations;
pub mod tools;

use cairn_core::resource;
use poem_openapi::{Enum, Object};
use uuid::Uuid;

/// Whether learners see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "resource::Publication")]
pub enum Publication {
    /// Not yet.
    Draft,
    /// They do.
    Published,
    /// No longer.
    Archived,
}

/// A new order of a list.
#[derive(Clone, Debug, Object)]
pub struct Order {
    /// Identifies every live resource of the list exactly once, in the new order.
    #[oai(validator(max_items = 1000))]
    pub ids: Vec<Uuid>,
}
