//! Email addresses, and the one form by which the platform compares them.
//!
//! People type an address in many ways: with capitals, with a domain in their own letters, on a keyboard that writes wide
//! letters. [`Email`] keeps what was typed, to show it and to write to it, and has the key that is the same for all of these
//! ways. Whatever looks an address up or counts by it uses the key, and the database stores it beside the address, because
//! no two programs fold Unicode alike: Postgres' `lower()` depends on its locale.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

/// A plausible email address, as the user typed it but without surrounding white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    typed: String,
    key: String,
}

impl Email {
    /// Parses an address of at most 254 bytes, with a local part and a domain of at least two labels. Returns `None` for any
    /// other text, and for an address whose key would not be an address, or not the same after another round.
    pub fn parse(text: &str) -> Option<Self> {
        let typed = text.trim();
        let key = canonical(typed)?;
        (canonical(&key).as_deref() == Some(&key)).then(|| Self { typed: typed.to_owned(), key })
    }

    /// The address as it was typed, to show it.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// The canonical form. Two addresses belong to one account if their keys are equal.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The canonical form of an address: the local part in NFKC and case-folded, the domain in the ASCII form of IDNA (UTS 46).
/// `None` if the text is no address.
fn canonical(text: &str) -> Option<String> {
    if text.len() > 254 || !text.chars().all(is_visible) {
        return None;
    }
    let (local, domain) = text.rsplit_once('@')?;
    let (local, domain) = (local_part(local)?, domain_part(domain)?);
    Some(format!("{local}@{domain}"))
}

/// Whether a character may occur in an address at all. Format characters, such as a zero-width joiner or a mark for writing
/// from right to left, cannot be seen, so two addresses with and without one would look the same. What is not assigned may
/// fold differently one day.
fn is_visible(c: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate, Unassigned,
    };
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    !matches!(
        category,
        Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | SpaceSeparator | Surrogate | Unassigned
    )
}

fn local_part(local: &str) -> Option<String> {
    // Folding may leave what is composed differently, and composing what is to be folded.
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let fold = |text: &str| nfkc.normalize(&CaseMapper::new().fold_string(&nfkc.normalize(text))).into_owned();
    let folded = fold(&fold(local));
    let plain = |c: char| is_visible(c) && !r#"@()<>[]:;,\""#.contains(c);
    let dots = !folded.starts_with('.') && !folded.ends_with('.') && !folded.contains("..");
    ((1..=64).contains(&folded.len()) && local.len() <= 64 && dots && folded.chars().all(plain)).then_some(folded)
}

fn domain_part(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let (back, is_valid) = idna::domain_to_unicode(&ascii);
    is_valid.ok()?;
    let fits = ascii.contains('.') && !ascii.ends_with('.') && ascii.len() <= 253;
    (fits && idna::domain_to_ascii_strict(&back).ok()? == ascii).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> String {
        Email::parse(text).unwrap_or_else(|| panic!("{text:?} is refused")).key
    }

    #[test]
    fn addresses_stay_as_they_were_typed() {
        for good in
            ["a@b.co", "  Anna.Maria+x@Example.TEST ", "o'neil@sub.example.test", "анна@пример.рф", "名前@例え.テスト"]
        {
            assert_eq!(Email::parse(good).unwrap().as_str(), good.trim());
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
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
            "a@b.co.",
            "a@-b.co",
            "a@b_c.co",
            "a@b.co\n x",
            ".a@b.co",
            "a..b@c.de",
            "<a@b.co>",
            "a\0@b.co",
            "a@xn--.co",
            &long,
            &longer,
        ] {
            assert_eq!(Email::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn addresses_that_differ_in_writing_only_have_one_key() {
        for (one, other) in [
            ("ADMIN@EXAMPLE.TEST", "admin@example.test"),
            ("ＡＤＭＩＮ@ｅｘａｍｐｌｅ.test", "admin@example.test"), // full width
            ("admin@example。test", "admin@example.test"),
            ("miſs@example.test", "miss@example.test"), // a long s
            ("Straße@example.test", "STRASSE@example.test"),
            ("STRAẞE@example.test", "strasse@example.test"),
            ("ΝΊΚΟΣ@example.test", "νίκος@example.test"), // a final sigma
            ("νίκοσ@example.test", "νίκος@example.test"),
            ("Ame\u{301}lie@example.test", "amélie@example.test"), // composed otherwise
            ("ﬁnn@example.test", "finn@example.test"),
            ("анна@ПРИМЕР.РФ", "анна@xn--e1afmkfd.xn--p1ai"),
            ("a@BÜCHER.test", "a@xn--bcher-kva.test"),
            ("a@straße.test", "a@xn--strae-oqa.test"), // not strasse.test, which is another domain
        ] {
            assert_eq!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn addresses_of_others_have_keys_of_their_own() {
        for (one, other) in [
            ("admİn@example.test", "admin@example.test"), // a capital i with a dot
            ("admın@example.test", "admin@example.test"), // a small i without
            ("аdmin@example.test", "admin@example.test"), // a Cyrillic a
            ("a@straße.test", "a@strasse.test"),
        ] {
            assert_ne!(key(one), key(other), "{one} and {other}");
        }
        assert_eq!(key("admİn@example.test"), key("ADMİN@example.test"));
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for c in
            ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{feff}']
        {
            assert_eq!(Email::parse(&format!("ad{c}min@example.test")), None, "{c:?} in the local part");
            assert_eq!(Email::parse(&format!("admin@exam{c}ple.test")), None, "{c:?} in the domain");
        }
        for text in ["a\u{a0}b@c.de", "a\u{2028}b@c.de", "a\u{3000}b@c.de", "a\u{e000}b@c.de", "a\u{378}b@c.de"] {
            assert_eq!(Email::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_folds_to_something_else_than_an_address_is_refused() {
        for text in ["a＠b@c.de", "a．．b@c.de", "a﹐b@c.de", "℀ @c.de", "a@c／d.de", "ﷺﷺﷺ@c.de", "．a@c.de"]
        {
            assert_eq!(Email::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(local in "\\PC{1,20}", domain in "\\PC{1,10}\\.[a-zа-яßΣς]{2,5}") {
            if let Some(email) = Email::parse(&format!("{local}@{domain}")) {
                let again = Email::parse(email.key()).expect("a key is an address");
                prop_assert_eq!(again.key(), email.key());
                prop_assert_eq!(again.as_str(), email.key());
            }
        }

        #[test]
        fn case_makes_no_difference(local in "[a-zäöüßéα-ωа-яñç]{1,20}", domain in "[a-zäöüа-я]{2,10}") {
            let typed = format!("{local}@{domain}.test");
            let lower = Email::parse(&typed).expect("an address");
            let upper = Email::parse(&format!("{}@{}.TEST", local.to_uppercase(), domain.to_uppercase())).expect("an address");
            prop_assert_eq!(lower.key(), upper.key());
        }
    }
}
