//! Repetitions, which make secrets easier to guess than their length suggests.

/// The part of `items` that they repeat at least twice; all of them if they repeat none. The last repetition may be incomplete:
/// `abcabcab` repeats `abc`.
pub(crate) fn repeated_unit<T: PartialEq>(items: &[T]) -> &[T] {
    let repeats = |period: &usize| items.iter().skip(*period).zip(items).all(|(later, earlier)| later == earlier);
    let period = (1..=items.len() / 2).find(repeats).unwrap_or(items.len());
    &items[..period]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found() {
        for (text, unit) in
            [("", ""), ("a", "a"), ("aaaa", "a"), ("abab", "ab"), ("abcabcab", "abc"), ("abca", "abca"), ("aab", "aab")]
        {
            assert_eq!(repeated_unit(text.as_bytes()), unit.as_bytes(), "{text}");
        }
    }
}
