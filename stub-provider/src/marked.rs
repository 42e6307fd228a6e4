//! Answers that show which question they belong to, whether they are whole, and whether anything is missing or repeated.
//!
//! ```text
//! Answer 2 to 0123456789abcdef in 3 words: word0 слово1 "quote"2 End fedcba9876543210.
//!        │    └ digest of the question      └ each has its number    └ digest of what precedes it
//!        └ number of the request with this question
//! ```

use crate::script::word;

/// An answer, as far as its text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The number of the request with this question, from 1.
    pub number: usize,
    /// Whether it is whole.
    pub is_whole: bool,
}

/// What is wrong with a text that is no beginning of an answer to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It contains several beginnings of the same answer.
    Doubled,
    /// It contains something that belongs to another question or another attempt.
    Mixed,
    /// Some of it is missing or changed, and it is not the end.
    Damaged,
}

/// Identifies a text.
pub(crate) fn digest(text: &str) -> u64 {
    // FNV-1a, because the digests of the standard library may change.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The pieces of the answer to the request of this number with a question.
pub(crate) fn pieces(question: &str, number: usize, words: usize) -> Vec<String> {
    let mut pieces = vec![format!("Answer {number} to {:016x} in {words} words:", digest(question))];
    pieces.extend((0..words).map(|n| format!(" {}", word(n).trim_start())));
    let end = format!(" End {:016x}.", digest(&pieces.concat()));
    pieces.push(end);
    pieces
}

/// Recognizes the text of an answer to a question, or of its beginning.
pub fn recognize(text: &str, question: &str) -> Result<Marked, Flaw> {
    let beginning = |text: &str| -> Option<(usize, String, usize)> {
        let (number, rest) = text.strip_prefix("Answer ")?.split_once(" to ")?;
        let (digest, rest) = rest.split_once(" in ")?;
        let (words, _) = rest.split_once(" words:")?;
        Some((number.parse().ok()?, digest.to_owned(), words.parse().ok()?))
    };
    let beginnings: Vec<_> = text.match_indices("Answer ").filter_map(|(at, _)| beginning(&text[at..])).collect();
    let Some(((number, of, words), others)) = beginnings.split_first() else {
        return Err(Flaw::Damaged);
    };
    if others.iter().any(|other| (other.0, &other.1) == (*number, of)) {
        return Err(Flaw::Doubled);
    }
    if !others.is_empty() || *of != format!("{:016x}", digest(question)) {
        return Err(Flaw::Mixed);
    }
    let whole = pieces(question, *number, *words).concat();
    if whole.starts_with(text) {
        Ok(Marked { number: *number, is_whole: whole.len() == text.len() })
    } else {
        Err(Flaw::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_recognized_and_so_is_what_is_wrong_with_them() {
        let of = |question, number| pieces(question, number, 20);
        let whole = of("One?", 3).concat();
        assert_eq!(recognize(&whole, "One?"), Ok(Marked { number: 3, is_whole: true }));
        let cut = of("One?", 3)[..9].concat();
        assert_eq!(recognize(&cut, "One?"), Ok(Marked { number: 3, is_whole: false }));
        assert_eq!(recognize(&whole, "Two?"), Err(Flaw::Mixed));
        assert_eq!(recognize(&format!("{whole}{whole}"), "One?"), Err(Flaw::Doubled));
        assert_eq!(recognize(&format!("{cut}{whole}"), "One?"), Err(Flaw::Doubled));
        assert_eq!(recognize(&format!("{cut}{}", of("One?", 4).concat()), "One?"), Err(Flaw::Mixed));
        assert_eq!(recognize(&format!("{cut}{}", of("Two?", 3).concat()), "One?"), Err(Flaw::Mixed));
        let missing = whole.replacen(" слово9", "", 1);
        for damaged in [missing, format!("{whole}."), format!("word0 {whole}"), String::new()] {
            assert_eq!(recognize(&damaged, "One?"), Err(Flaw::Damaged), "{damaged}");
        }
    }
}
