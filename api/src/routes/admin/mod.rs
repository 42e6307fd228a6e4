//! Operations for admins.

pub mod audit;
pub mod community;
pub mod learning;
pub mod library;
pub mod queue;
pub mod settings;
pub mod stats;
pub mod tools;
pub mod users;

use cairn_core::resource;
use poem_openapi::{Enum, Object};
use uuid::Uuid;

/// Whether content is shown to learners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "resource::Publication")]
pub enum Publication {
    /// Not shown yet.
    Draft,
    /// Shown to learners.
    Published,
    /// No longer shown.
    Archived,
}

/// A new order of a list.
#[derive(Clone, Debug, Object)]
pub struct Order {
    /// Identifies every live resource of the list exactly once, in the new order.
    #[oai(validator(max_items = 1000))]
    pub ids: Vec<Uuid>,
}
