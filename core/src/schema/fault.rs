//! What can be wrong with a JSON value.

use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

/// More faults than these are not listed.
pub const MAX_FAULTS: usize = 20;

/// One thing that is wrong with a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to what is wrong: for a member that is missing, to where it should be.
    pub pointer: String,
    /// What is wrong, for programs.
    pub code: FaultCode,
    /// What is wrong and what is allowed, for people: one sentence.
    pub message: String,
}

/// What is wrong, for programs. The list only grows, and a code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FaultCode {
    /// A member that must be there is missing.
    Required,
    /// A member that the schema does not know.
    Unknown,
    /// A member or an item that is there more than once.
    Duplicate,
    /// A value of another type.
    WrongType,
    /// A string with too few characters.
    TooShort,
    /// A string with too many characters.
    TooLong,
    /// A number below what is allowed.
    TooSmall,
    /// A number above what is allowed.
    TooLarge,
    /// An array with too few items, or an object with too few members.
    TooFew,
    /// An array with too many items, an object with too many members, or a document with too many values.
    TooMany,
    /// A document with too many levels.
    TooDeep,
    /// A value that is none of those listed.
    NotAllowed,
    /// A string that does not have the documented format or match the documented pattern.
    Malformed,
    /// A string or a name with U+0000.
    NulCharacter,
    /// A string or a name with a control character other than tab, newline and carriage return.
    ControlCharacter,
    /// A name or a title with a character that cannot be seen, such as one that makes text run the other way.
    HiddenCharacter,
    /// A value that breaks another rule.
    Invalid,
}

impl FaultCode {
    /// The code as programs see it, such as `too_long`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }
}

/// The pointer to a member of what `parent` points to.
pub(crate) fn member(parent: &str, name: &str) -> String {
    let mut pointer = parent.to_owned();
    push(&mut pointer, name);
    pointer
}

/// Extends a pointer by a name or an index. Returns its length before.
pub(crate) fn push(pointer: &mut String, name: &str) -> usize {
    let length = pointer.len();
    pointer.push('/');
    for character in name.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    length
}
