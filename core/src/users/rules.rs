//! Which email addresses, names and passwords are accepted.

use std::fmt;

use crate::schema::is_visible;

/// A plausible email address, as the user typed it but without surrounding white space. Lookups ignore case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Parses an address of at most 254 bytes, with a local part and a domain of at least two labels. Returns `None` for any
    /// other text.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let fits = text.len() <= 254 && (1..=64).contains(&local.len());
        let dots = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !r#"@()<>[]:;,\""#.contains(c);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let domain_fits = domain.contains('.') && domain.split('.').all(label);
        (fits && dots && local.chars().all(plain) && domain_fits).then(|| Self(text.to_owned()))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
    fn email_addresses() {
        for good in ["a@b.co", "  Anna.Maria+x@Example.TEST ", "o'neil@sub.example.test", "анна@пример.рф"]
        {
            assert_eq!(Email::parse(good).unwrap().as_str(), good.trim());
        }
        let long = format!("{}@example.test", "a".repeat(65));
        let longer = format!("a@{}test", "abcdefgh.".repeat(30));
        for bad in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a b@c.de",
            "a@@b.co",
            "a@b..co",
            "a@-b.co",
            "a@b.co\n x",
            ".a@b.co",
            "a..b@c.de",
            "<a@b.co>",
            "a\0@b.co",
            &long,
            &longer,
        ] {
            assert_eq!(Email::parse(bad), None, "{bad:?}");
        }
    }

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
