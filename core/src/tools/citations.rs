//! Which of its sources an answer used.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Source;

/// What an answer cites. A model may cite anything, such as what it remembers or what the question tells it to, so only what
/// it was given counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citations {
    /// The numbers of the sources that the answer used, from 1.
    pub used: Vec<i16>,
    /// How many different numbers and ids it cites that belong to no source.
    pub invented: usize,
}

impl Citations {
    /// Finds the citations of an answer: numbers in square brackets, ids, and titles of several words. Brackets in code are
    /// code.
    pub fn of(answer: &str, sources: &[Source]) -> Self {
        let text = without_code(answer);
        let (mut used, mut invented) = (BTreeSet::new(), BTreeSet::new());
        for number in numbers(&text) {
            let is_source = (1..=sources.len()).contains(&number);
            if is_source {
                used.insert(number)
            } else {
                invented.insert(number.to_string())
            };
        }
        for id in ids(&text) {
            match sources.iter().position(|source| source.id == id) {
                Some(index) => used.insert(index + 1),
                None => invented.insert(id.to_string()),
            };
        }
        let folded = text.to_lowercase();
        for (number, source) in (1..).zip(sources) {
            let title = source.title.to_lowercase();
            if title.split_whitespace().count() > 1 && folded.contains(&title) {
                used.insert(number);
            }
        }
        Self { used: used.into_iter().filter_map(|n| i16::try_from(n).ok()).collect(), invented: invented.len() }
    }
}

/// The text without what stands between backticks.
fn without_code(text: &str) -> String {
    let outside = |text: &str, fence: &str| text.split(fence).step_by(2).collect::<Vec<_>>().join(" ");
    outside(&outside(text, "```"), "`")
}

/// Numbers of at most two digits in brackets: `[1]`, `[1, 3]`, `【2】`.
fn numbers(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for part in text.split(['[', '【']).skip(1) {
        let Some((inside, _)) = part.split_once([']', '】']) else { continue };
        let numbers: Option<Vec<usize>> = inside.split([',', ';']).map(|number| small_number(number.trim())).collect();
        found.extend(numbers.unwrap_or_default());
    }
    found
}

fn small_number(text: &str) -> Option<usize> {
    let is_small = matches!(text.len(), 1..=2) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_small)
}

fn ids(text: &str) -> impl Iterator<Item = Uuid> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.filter(|word| word.len() == 36).filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::search::HitKind;

    fn sources() -> Vec<Source> {
        let source = |n, title: &str| Source {
            kind: HitKind::Lesson,
            id: Uuid::from_u128(n),
            title: title.into(),
            about: String::new(),
            passage: None,
        };
        vec![source(1, "Layout with grid"), source(2, "Index"), source(3, "Routers")]
    }

    fn cited(answer: &str) -> (Vec<i16>, usize) {
        let Citations { used, invented } = Citations::of(answer, &sources());
        (used, invented)
    }

    #[test]
    fn numbers_ids_and_titles_are_citations() {
        assert_eq!(cited(""), (vec![], 0));
        assert_eq!(cited("Use grid [1]. Or [3][1], see 【2】."), (vec![1, 2, 3], 0));
        assert_eq!(cited("As said [1, 3]; also [2;3]"), (vec![1, 2, 3], 0));
        assert_eq!(cited("Read **layout WITH grid** first."), (vec![1], 0));
        assert_eq!(cited("An index helps; routers too."), (vec![], 0), "one word is no title");
        assert_eq!(cited("(lesson, 00000000-0000-0000-0000-000000000002)"), (vec![2], 0));
    }

    #[test]
    fn what_was_not_given_is_invented() {
        assert_eq!(cited("[0] [4] [4] [99]"), (vec![], 3));
        assert_eq!(cited("00000000-0000-0000-0000-000000000009 and [1]"), (vec![1], 1));
    }

    #[test]
    fn brackets_that_are_no_citations_do_not_count() {
        assert_eq!(cited("`list[1]` and\n```\na[2] = b[77]\n```\nend"), (vec![], 0));
        assert_eq!(cited("[ ] task, [x] done, [2026], [a1], [1.], [, [SPEC_START] [-1] [²]"), (vec![], 0));
    }
}
