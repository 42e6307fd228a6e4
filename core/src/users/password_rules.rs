//! Which new passwords are accepted.
//!
//! The rules are those of NIST SP 800-63B: a minimum length, no rules about kinds of characters, and nothing that is tried first
//! when passwords are guessed. They do not apply to passwords that exist.

use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use crate::repetition::repeated_unit;

/// The most common passwords, in lower case, one on each line. Shorter ones are there because people repeat them.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// The longest part whose repetition is no better than the part itself, whatever it is.
const TRIVIAL_UNIT: usize = 3;

/// A new password: 10 to 128 characters that are not easily guessed, in normal form C. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Why a password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PasswordFault {
    /// It has fewer characters than [`Password::MIN_LENGTH`].
    TooShort,
    /// It has more characters than [`Password::MAX_LENGTH`].
    TooLong,
    /// It is among the most common passwords, or a repetition of one or of a few characters.
    CommonPassword,
    /// It is the user's own address or name, perhaps with digits at its end.
    PersonalPassword,
    /// It is the present password.
    SamePassword,
}

/// Whose password it is to be.
#[derive(Clone, Debug)]
pub struct Person {
    /// The email address.
    pub email: String,
    /// The first name.
    pub first_name: String,
    /// The last name, if there is one.
    pub last_name: Option<String>,
}

impl Person {
    /// The name that is shown.
    pub fn name(&self) -> String {
        self.last_name.as_ref().map_or_else(|| self.first_name.clone(), |last| format!("{} {last}", self.first_name))
    }
}

impl Password {
    /// The shortest length in characters.
    pub const MIN_LENGTH: usize = 10;
    /// The longest length in characters, which limits the cost of hashing.
    pub const MAX_LENGTH: usize = 128;

    /// Parses a password of somebody whose address and name are checked later, or are not known.
    pub fn parse(text: &str) -> Result<Self, PasswordFault> {
        let text = normalize(text);
        match text.chars().count() {
            ..Self::MIN_LENGTH => Err(PasswordFault::TooShort),
            length if length > Self::MAX_LENGTH => Err(PasswordFault::TooLong),
            _ if is_common(&text.to_lowercase()) => Err(PasswordFault::CommonPassword),
            _ => Ok(Self(text)),
        }
    }

    /// Refuses a password that anyone would try first who knows its owner.
    pub fn check_owner(&self, owner: &Person) -> Result<(), PasswordFault> {
        let Person { email, first_name, last_name } = owner;
        let local_part = email.rsplit_once('@').map_or(email.as_str(), |(local_part, _)| local_part);
        let last_name = last_name.as_deref().unwrap_or_default();
        let (full, reversed) = (format!("{first_name}{last_name}"), format!("{last_name}{first_name}"));
        let password = Stem::of(&self.0);
        let personal = [email, local_part, first_name, last_name, &full, &reversed];
        let is_personal = personal.into_iter().any(|text| password.repeats(&Stem::of(text)));
        if is_personal { Err(PasswordFault::PersonalPassword) } else { Ok(()) }
    }

    /// Refuses the password that is to be replaced.
    pub fn check_new(&self, current: &str) -> Result<(), PasswordFault> {
        if self.0 == normalize(current) { Err(PasswordFault::SamePassword) } else { Ok(()) }
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

impl PasswordFault {
    /// The name of the rule, for programs.
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The rule, in a sentence.
    pub fn message(self) -> &'static str {
        match self {
            Self::TooShort => "A password must have at least 10 characters.",
            Self::TooLong => "A password can have at most 128 characters.",
            Self::CommonPassword => {
                "This password is among the most common ones, or repeats one or a few characters, so it would be guessed."
            }
            Self::PersonalPassword => "A password must not be one's own address or name.",
            Self::SamePassword => "The new password is the present one.",
        }
    }
}

/// The same characters in normal form C: keyboards and systems compose letters such as `й` and `é` differently.
pub(super) fn normalize(text: &str) -> String {
    text.nfc().collect()
}

fn is_common(folded: &str) -> bool {
    let characters: Vec<char> = folded.chars().collect();
    let unit = repeated_unit(&characters);
    COMMON.contains(folded) || unit.len() <= TRIVIAL_UNIT || COMMON.contains(unit.iter().collect::<String>().as_str())
}

/// What of a text somebody remembers: its letters and digits in lower case, and where the digits at its end begin.
struct Stem {
    characters: Vec<char>,
    length: usize,
}

impl Stem {
    fn of(text: &str) -> Self {
        let folded = normalize(text).to_lowercase();
        let characters: Vec<char> = folded.chars().filter(|c| c.is_alphanumeric()).collect();
        let length = characters.iter().rposition(|c| !c.is_ascii_digit()).map_or(0, |last| last + 1);
        Self { characters, length }
    }

    /// Whether this is the other, once or several times, with or without digits at its end.
    fn repeats(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.characters[..self.length], &other.characters[..other.length]);
        let is_repeated = !theirs.is_empty() && (own == theirs || repeated_unit(own) == theirs);
        is_repeated || (!other.characters.is_empty() && self.characters == other.characters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_bounded_and_redacted() {
        assert_eq!(Password::parse("ten chars."), Ok(Password("ten chars.".to_owned())));
        assert!(Password::parse(&"длинный! пароль_".repeat(8)).is_ok());
        assert_eq!(Password::parse("nine char"), Err(PasswordFault::TooShort));
        assert_eq!(Password::parse(&format!("x{}", "длинный! пароль_".repeat(8))), Err(PasswordFault::TooLong));
        assert_eq!(format!("{:?}", Password::parse("ten chars.")), "Ok([redacted])");
        for fault in [PasswordFault::TooShort, PasswordFault::TooLong] {
            let bound = if fault == PasswordFault::TooShort { Password::MIN_LENGTH } else { Password::MAX_LENGTH };
            assert!(fault.message().contains(&format!(" {bound} ")), "{}", fault.message());
        }
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same() {
        // Nine characters in normal form C, although eleven were sent.
        assert_eq!(Password::parse("cafe\u{301} cafe\u{301}"), Err(PasswordFault::TooShort));
        let [composed, decomposed] =
            ["caf\u{e9} \u{439}ogurt", "cafe\u{301} \u{438}\u{306}ogurt"].map(|text| Password::parse(text).unwrap());
        assert_eq!(composed.expose(), decomposed.expose());
        assert_eq!(composed.check_new("cafe\u{301} \u{438}\u{306}ogurt"), Err(PasswordFault::SamePassword));
        assert_eq!(composed.check_new("cafe \u{439}ogurt"), Ok(()));
    }

    #[test]
    fn common_passwords_are_refused() {
        let long = COMMON.iter().filter(|text| text.chars().count() >= Password::MIN_LENGTH).count();
        assert!(long >= 1000, "{long}");
        assert!(COMMON.iter().all(|text| *text == text.to_lowercase() && *text == normalize(text)));
        for text in [
            "1234567890",
            "QwertyUiop",
            "password123",
            "Йцукенгшщз",
            "aaaaaaaaaaaa",
            "abababababab",
            "123123123123",
            "passwordpassword",
            "qwertyqwertyqwe",
            "correcthorsebatterystaple",
        ] {
            assert_eq!(Password::parse(text), Err(PasswordFault::CommonPassword), "{text}");
        }
        for text in ["correct horse battery", "staple battery horse", "cairn-demo-2026", "a long enough password"] {
            assert!(Password::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_owners_address_and_name_are_refused() {
        let person = |email: &str, first_name: &str, last_name: Option<&str>| {
            let [email, first_name] = [email, first_name].map(str::to_owned);
            Person { email, first_name, last_name: last_name.map(str::to_owned) }
        };
        let owner = person("Anna.Moreno@Example.test", "Аннаизабелла", Some("Морено"));
        let check = |text: &str| Password::parse(text).unwrap().check_owner(&owner);
        for text in [
            "anna.moreno@example.test",
            "ANNA.MORENO",
            "annamoreno1990",
            "anna_moreno12!",
            "аннаизабелла",
            "Аннаизабелла2024",
            "морено морено",
            "АннаизабеллаМорено",
            "морено аннаизабелла7",
            "annamorenoannamoreno",
        ] {
            assert_eq!(check(text), Err(PasswordFault::PersonalPassword), "{text}");
        }
        for text in ["anna moreno likes tea", "my anna moreno", "moreno.example.test"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        // An address of digits only, and a name without letters.
        let owner = person("79161234567@example.test", "!", None);
        let check = |text: &str| Password::parse(text).unwrap().check_owner(&owner);
        assert_eq!(check("79161234567"), Err(PasswordFault::PersonalPassword));
        assert_eq!(check("79161234568"), Ok(()));
    }
}
