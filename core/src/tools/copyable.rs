//! Blocks of an answer that are meant to be copied as a whole.

/// The pairs of markers around such blocks.
const MARKERS: [(&str, &str); 3] =
    [("[ТЗ_START]", "[ТЗ_END]"), ("[SPEC_START]", "[SPEC_END]"), ("[IDEA_START]", "[IDEA_END]")];

/// Whether the text contains a copyable block: a start marker followed by the end marker of the same kind.
pub fn has_copyable_content(text: &str) -> bool {
    copyable_block(text).is_some()
}

/// The content of the first copyable block.
pub fn copyable_block(text: &str) -> Option<&str> {
    let blocks = MARKERS.iter().filter_map(|(start, end)| {
        let begin = text.find(start)? + start.len();
        let length = text[begin..].find(end)?;
        Some((begin, &text[begin..begin + length]))
    });
    blocks.min_by_key(|(begin, _)| *begin).map(|(_, block)| block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_what_is_between_the_markers() {
        for (text, block) in [
            ("[ТЗ_START]цель[ТЗ_END]", "цель"),
            ("a [IDEA_START]\nfirst\n[IDEA_END] [SPEC_START]second[SPEC_END]", "\nfirst\n"),
            ("[SPEC_START] unfinished [IDEA_START]finished[IDEA_END]", "finished"),
            ("[SPEC_START]one[SPEC_END][SPEC_START]two[SPEC_END]", "one"),
            ("[IDEA_START][IDEA_END]", ""),
        ] {
            assert_eq!(copyable_block(text), Some(block), "{text}");
        }
    }

    #[test]
    fn a_block_needs_both_markers_of_one_kind_in_order() {
        for text in [
            "[ТЗ_START]цель[ТЗ_END]",
            "before [SPEC_START]\ngoal\n[SPEC_END] after",
            "[IDEA_START]a[IDEA_END] and [IDEA_START]b",
            "[SPEC_END] came too early, [SPEC_START] then right [SPEC_END]",
            "[SPEC_START] unfinished [IDEA_START]finished[IDEA_END]",
        ] {
            assert!(has_copyable_content(text), "{text}");
        }
        for text in [
            "",
            "no block",
            "[SPEC_START] never ends",
            "[SPEC_END] wrong order [SPEC_START]",
            "[SPEC_START] mixed [IDEA_END]",
            "[ТЗ_START] mixed [SPEC_END]",
            "[spec_start] case [spec_end]",
            "[SPEC_START [SPEC_END]",
        ] {
            assert!(!has_copyable_content(text), "{text}");
        }
    }
}
