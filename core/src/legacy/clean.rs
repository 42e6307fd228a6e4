//! Makes values of the old database fit the rules of this one, and says what was changed.

use crate::schema::is_visible;

/// A name or title: one line of at most `most` characters, all of which can be seen. Adds to `notes` what it changed.
pub(super) fn title(column: &str, text: Option<String>, most: usize, notes: &mut Vec<String>) -> Option<String> {
    let text = text?;
    let spaced: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let seen: String = spaced.chars().filter(|c| is_visible(*c)).collect();
    if seen != spaced {
        notes.push(format!("{column}: characters that cannot be seen were removed"));
    }
    let trimmed = cut(column, seen.trim(), most, notes);
    Some(trimmed.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Text of at most `most` characters. Adds to `notes` if it was longer.
pub(super) fn cut(column: &str, text: &str, most: usize, notes: &mut Vec<String>) -> String {
    if text.chars().count() > most {
        notes.push(format!("{column}: cut to {most} characters"));
    }
    text.chars().take(most).collect()
}

/// An address of the web, which is the only kind that is stored. Adds to `notes` if it is not one.
pub(super) fn url(column: &str, text: Option<String>, notes: &mut Vec<String>) -> Option<String> {
    let text = text?;
    if is_url(&text) {
        return Some(text);
    }
    notes.push(format!("{column}: left out, because it is no http(s) address of at most 2000 characters"));
    None
}

/// Whether the column type `https_url` accepts the text.
pub(super) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) && text.chars().count() <= 2000
}

/// At most 20 tags of at most 50 characters.
pub(super) fn tags(column: &str, items: Vec<String>, notes: &mut Vec<String>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for item in items {
        let Some(tag) = title(column, Some(item), 50, notes) else { continue };
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > 20 {
        notes.push(format!("{column}: cut to 20"));
        tags.truncate(20);
    }
    tags
}

/// Paragraphs one after the other, without those that are missing.
pub(super) fn paragraphs(parts: &[Option<String>]) -> String {
    parts.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n\n")
}

/// A slug made of a title, in Latin letters: what has none gets `fallback`.
pub(super) fn slug(title: &str, fallback: &str) -> String {
    let mut slug = String::new();
    for c in title.to_lowercase().chars() {
        let letters = latin(c);
        match letters {
            Some(letters) => slug.push_str(letters),
            None if c.is_ascii_lowercase() || c.is_ascii_digit() => slug.push(c),
            None if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            None => {}
        }
    }
    slug.truncate(60);
    let slug = slug.trim_matches('-');
    if slug.len() < 2 { fallback.to_owned() } else { slug.to_owned() }
}

/// The Latin letters for a Cyrillic one.
fn latin(c: char) -> Option<&'static str> {
    const LETTERS: [&str; 32] = [
        "a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "kh",
        "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya",
    ];
    match c {
        'а'..='я' => LETTERS.get(usize::try_from(u32::from(c) - u32::from('а')).ok()?).copied(),
        'ё' => Some("e"),
        _ => None,
    }
}

/// A duration in minutes, such as `15 мин`, `1 ч 30 мин`, `1:30:00` or `45`; `None` if the text has none.
pub(super) fn minutes(text: &str) -> Option<i32> {
    let text = text.to_lowercase();
    if let Some((hours, minutes)) = text.trim().split_once(':') {
        let hours: i32 = hours.trim().parse().ok()?;
        // Of two parts the first are minutes, as players show them.
        return match minutes.split_once(':') {
            Some((minutes, _)) => {
                let minutes: i32 = minutes.trim().parse().ok()?;
                // What is too large for a number is no duration.
                hours.checked_mul(60)?.checked_add(minutes).map(|whole| whole.clamp(1, 600))
            }
            None => Some(hours.clamp(1, 600)),
        };
    }
    let mut total = 0.0;
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(rest.len());
        let number: f64 = rest[..end].replace(',', ".").trim_end_matches('.').parse().ok()?;
        rest = &rest[end..];
        let unit = rest.trim_start();
        let is_hours = unit.starts_with('ч') || unit.starts_with('h');
        let is_seconds = unit.starts_with("сек") || unit.starts_with("sec");
        total += if is_hours {
            number * 60.0
        } else if is_seconds {
            number / 60.0
        } else {
            number
        };
    }
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what a lesson can take")]
    let whole = total.ceil().clamp(0.0, 600.0) as i32;
    Some(whole).filter(|minutes| *minutes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lose_what_hides_and_what_is_too_long_and_say_so() {
        let mut notes = Vec::new();
        assert_eq!(title("t", Some("  Урок\u{202e} один\n".into()), 200, &mut notes).unwrap(), "Урок один");
        assert_eq!(notes.len(), 1);
        assert_eq!(title("t", Some("x".repeat(255)), 200, &mut notes).unwrap().len(), 200);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert_eq!(title("t", Some("\u{200b}".into()), 200, &mut notes), None);
    }

    #[test]
    fn slugs_are_latin() {
        for (title, expected) in [
            ("Щука и Ёж", "shchuka-i-ezh"),
            ("  React: Start!  ", "react-start"),
            ("🚀", "x"),
            ("Я", "ya"),
            ("A", "x"),
            ("Объект", "obekt"),
        ] {
            assert_eq!(slug(title, "x"), expected, "{title}");
        }
        assert!(slug(&"щ".repeat(100), "x").len() <= 60);
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, expected) in [
            ("15 мин", Some(15)),
            ("1 ч 30 мин", Some(90)),
            ("1,5 часа", Some(90)),
            ("45", Some(45)),
            ("1:30:00", Some(90)),
            ("12:30", Some(12)),
            ("30 сек", Some(1)),
            ("99 ч", Some(600)),
            ("99999999:99999999:1", None),
            ("35791394:2147483647:1", None),
            ("99999999999:1:1", None),
            ("-99999999:1:1", None),
            ("99999999:30", Some(600)),
            ("99999999999999999999 ч", Some(600)),
            ("скоро", None),
            ("", None),
        ] {
            assert_eq!(minutes(text), expected, "{text}");
        }
    }

    #[test]
    fn only_addresses_of_the_web_are_kept() {
        assert!(is_url("https://example.test/a"));
        for bad in ["javascript:alert(1)", "https://", "https://a b", "/path", "ftp://a.b"] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
