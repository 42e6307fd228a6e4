//! Characters that cannot be seen: what names and titles may not contain, and terminals never get.

/// The format characters (Unicode's category Cf), with the separators of lines and paragraphs, and the code point among them
/// that is not assigned yet. Some make text run the other way (U+202E and its like), some cannot be seen at all.
const FORMAT: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Whether a name or a title may contain the character: it is neither a control nor a format character, with the exception of
/// the joiners that scripts need.
pub fn is_visible(character: char) -> bool {
    let joins = matches!(character, '\u{200c}' | '\u{200d}');
    let is_format = || FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&character));
    joins || !(character.is_control() || is_format())
}

/// The text for a terminal: what is not visible is replaced, except for tabs and the ends of lines.
pub fn printable(text: &str) -> String {
    let is_shown = |character: char| matches!(character, '\n' | '\t') || is_visible(character);
    text.chars().map(|character| if is_shown(character) { character } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_visible, printable};

    #[test]
    fn names_have_letters_of_all_scripts_and_nothing_that_hides() {
        for name in [
            "Анна-Мария",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "O’Neill",
            "李小龍",
            "👩\u{200d}💻",
            "e\u{301}",
            "a b",
            "❤\u{fe0f}",
        ] {
            assert!(name.chars().all(is_visible), "{name:?}");
        }
        let hidden = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\
                      \u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{206a}\u{feff}\u{fff9}\u{e0001}\u{e0041}";
        assert!(!hidden.chars().any(is_visible));
    }

    #[test]
    fn a_terminal_gets_no_command_and_no_change_of_direction() {
        let text = printable("a\u{1b}[2J\u{9b}1m\r\u{202e}b\tc\nd\u{7}");
        assert_eq!(text, "a\u{fffd}[2J\u{fffd}1m\u{fffd}\u{fffd}b\tc\nd\u{fffd}");
    }
}
