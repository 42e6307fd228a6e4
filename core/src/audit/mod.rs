//! Reading the activity log: everything that happened, and how one object came to be what it is.
//!
//! Each filter has an index that delivers the order of the list, so a page costs the same at any depth.

mod history;
mod log;

pub use self::history::{Change, history};
pub use self::log::{Entry, EntryDetails, Filter, Key, find, list, recent_of_students};
