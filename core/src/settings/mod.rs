//! Platform settings: typed values that an admin can change at run time.
//!
//! `table` is the only list of them. A setting that nobody has changed has its default, and no row in the database or one
//! whose value is null.

mod cache;
mod stored;
mod table;
mod values;

pub use self::cache::Cache;
pub use self::stored::{Setting, change, find, list, load, reset};
pub use self::table::{Definition, Settings, definition, definitions};
pub use self::values::{
    Budget, BudgetPeriod, BudgetScope, BudgetUnit, EmailVerification, ProjectModeration, RegistrationMode,
};
