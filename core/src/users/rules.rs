//! Which email addresses, names and passwords are accepted.

use std::fmt;

pub use super::email::Email;

/// A first or last name: 1 to 100 characters without surrounding white space and control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Parses a name; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A new password: 10 to 128 characters. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The shortest length in characters.
    pub const MIN_LENGTH: usize = 10;
    /// The longest length in characters, which limits the cost of hashing.
    pub const MAX_LENGTH: usize = 128;

    /// Parses a password; `None` if it is too short or too long.
    pub fn parse(text: &str) -> Option<Self> {
        (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.chars().count()).then(|| Self(text.to_owned()))
    }

    /// The password itself. Reviewers should look at every call.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_bounded() {
        assert_eq!(PersonName::parse("  Anna ").unwrap().as_str(), "Anna");
        let (hundred, more) = ("ё".repeat(100), "ё".repeat(101));
        assert!(PersonName::parse(&hundred).is_some());
        for bad in ["", "   ", "a\u{7}b", "a\nb", &more] {
            assert_eq!(PersonName::parse(bad), None, "{bad:?}");
        }
        assert!(Password::parse(&"x".repeat(10)).is_some() && Password::parse(&"ё".repeat(128)).is_some());
        assert!(Password::parse(&"x".repeat(9)).is_none() && Password::parse(&"x".repeat(129)).is_none());
        assert_eq!(format!("{:?}", Password::parse("0123456789")), "Some([redacted])");
    }
}
