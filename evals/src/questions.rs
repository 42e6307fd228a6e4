//! The questions, and the sources that are right for them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// The grade of a source that answers the question. Lower ones help, but do not answer.
pub(crate) const ANSWERS: u8 = 2;

/// A question.
#[derive(Debug)]
pub(crate) struct Question {
    /// `en` or `ru`.
    pub(crate) language: String,
    /// How it is worded: `everyday`, in other words than the title's; `exact`; `misspelt`.
    pub(crate) form: String,
    /// The text.
    pub(crate) text: String,
    /// The grades of the sources, by kind and slug: `lesson/flex-and-grid`.
    pub(crate) grades: HashMap<String, u8>,
}

/// Reads a file of questions.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Question>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse(line).with_context(|| format!("{}: {line}", path.display()))).collect()
}

fn parse(line: &str) -> anyhow::Result<Question> {
    let [label, text, sources] = line.split(" | ").collect::<Vec<_>>()[..] else {
        bail!("a question has three parts: language and form, text, sources");
    };
    let (language, form) = label.split_once(' ').context("a question has a language and a form")?;
    let grade = |source: &str| match source.split_once(':') {
        None => Ok((source.to_owned(), ANSWERS)),
        Some((name, grade)) => Ok::<_, std::num::ParseIntError>((name.to_owned(), grade.parse()?)),
    };
    let grades: HashMap<String, u8> = sources.split_whitespace().map(grade).collect::<Result<_, _>>()?;
    ensure!(grades.values().any(|grade| *grade == ANSWERS), "no source answers the question");
    Ok(Question { language: language.to_owned(), form: form.to_owned(), text: text.to_owned(), grades })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_language_a_form_and_graded_sources() {
        let question = parse("en everyday | how do I undo this? | lesson/git glossary_term/commit:1").unwrap();
        assert_eq!((question.language.as_str(), question.form.as_str()), ("en", "everyday"));
        assert_eq!(question.text, "how do I undo this?");
        assert_eq!((question.grades["lesson/git"], question.grades["glossary_term/commit"]), (2, 1));
        for wrong in [
            "",
            "en everyday | no sources",
            "en | text | lesson/a",
            "en exact | text | lesson/a:x",
            "en exact | a | lesson/a:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
