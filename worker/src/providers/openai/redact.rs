//! Removes secrets from what providers say.

use cairn_core::config::Secret;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// How the keys of providers begin.
const KEY_PREFIXES: [&str; 10] = ["sk-", "sk_", "gsk_", "AIza", "xai-", "hf_", "pplx-", "r8_", "nvapi-", "fw_"];

/// What precedes a secret within a word.
const ASSIGNMENTS: [&str; 6] = ["api_key=", "api-key=", "apikey=", "key=", "token=", "password="];

/// A text without the configured key, without anything that looks like a key, and without what addresses carry beside the
/// place that they name.
pub(super) fn redacted(text: &str, key: Option<&Secret>) -> String {
    let text = match key {
        Some(key) if !key.expose().is_empty() => text.replace(key.expose(), REDACTED),
        _ => text.to_owned(),
    };
    let mut clean = String::with_capacity(text.len());
    let mut is_next_secret = false;
    for word in text.split_inclusive([' ', '"', '\'', ',', '(', ')', '<', '>', '\n']) {
        let end = word.trim_end_matches([' ', '"', '\'', ',', '(', ')', '<', '>', '\n']).len();
        let (word, separator) = word.split_at(end);
        if std::mem::take(&mut is_next_secret) && !word.is_empty() && word != REDACTED {
            clean.push_str(REDACTED);
        } else {
            is_next_secret = word.eq_ignore_ascii_case("bearer");
            clean.push_str(&without_secret(word));
        }
        clean.push_str(separator);
    }
    clean
}

fn without_secret(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        let (place, _) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
        let authority = place.split('/').next().unwrap_or_default();
        let place = match authority.rsplit_once('@') {
            Some((user, _)) => &place[user.len() + 1..],
            None => place,
        };
        return format!("{scheme}://{place}");
    }
    let lower = word.to_ascii_lowercase();
    if let Some((at, name)) = ASSIGNMENTS.iter().filter_map(|name| Some((lower.find(name)?, name))).min() {
        return format!("{}{REDACTED}", &word[..at + name.len()]);
    }
    let starts = KEY_PREFIXES.iter().flat_map(|prefix| word.match_indices(prefix)).map(|(at, _)| at);
    // A key does not begin within a word, such as `task-specific`.
    match starts.filter(|at| !word[..*at].ends_with(|c: char| c.is_ascii_alphanumeric())).min() {
        Some(at) if word.len() - at >= 8 => format!("{}{REDACTED}", &word[..at]),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_addresses_carry_are_removed() {
        let key = Secret::new("very-own");
        for (text, expected) in [
            ("plain text, with \"quotes\"", "plain text, with \"quotes\""),
            ("the key very-own is wrong", "the key [redacted] is wrong"),
            ("Incorrect API key provided: sk-abc***wxyz.", "Incorrect API key provided: [redacted]"),
            ("key 'AIzaSyA1234567' (gsk_0123456789)", "key '[redacted]' ([redacted])"),
            ("Authorization: Bearer abcdef", "Authorization: Bearer [redacted]"),
            ("see https://me:pw@example.org/a?key=1#f now", "see https://example.org/a now"),
            ("failed: api_key=123 token=4", "failed: api_key=[redacted] token=[redacted]"),
            ("sk-8 is short", "sk-8 is short"),
            ("a task-specific risk-averse model", "a task-specific risk-averse model"),
        ] {
            assert_eq!(redacted(text, Some(&key)), expected);
        }
        assert_eq!(redacted("a", None), "a");
    }
}
