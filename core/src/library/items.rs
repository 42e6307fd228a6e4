//! The kinds of library items whose uses are counted.

use serde::{Deserialize, Serialize};

/// The kind of a library item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "library_item_kind", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A style card.
    #[sqlx(rename = "style_card")]
    Style,
    /// A prompt. Copying it is a use.
    Prompt,
}
