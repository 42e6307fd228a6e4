//! Which email addresses and names are accepted.

pub use super::email::Email;
use crate::schema::is_visible;

/// A first or last name: 1 to 100 characters without surrounding white space, all of which can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Parses a name; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=100).contains(&text.chars().count()) && text.chars().all(is_visible);
        fits.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert_eq!(PersonName::parse("  Anna ").unwrap().as_str(), "Anna");
        let (hundred, more) = ("ё".repeat(100), "ё".repeat(101));
        assert!(PersonName::parse(&hundred).is_some());
        for bad in ["", "   ", "a\u{7}b", "a\nb", &more] {
            assert_eq!(PersonName::parse(bad), None, "{bad:?}");
        }
    }
}
