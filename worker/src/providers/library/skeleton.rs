//! Specifications and ideas, filled in with what the question asks for.

use std::fmt::Write;

use cairn_core::tools::Source;
use cairn_core::tools::sources::is_russian;

use super::features::{ALL, Feature, Part, wanted};
use super::phrases::{Phrases, SkeletonPhrases};
use super::quotes::one_line;

/// Most features of a first version. What else was asked for is named among what is left out.
const MAX_FEATURES: usize = 4;

/// A specification of what the question asks for.
pub(super) fn specification(question: &str, sources: &[Source], phrases: &Phrases) -> String {
    let question = harmless(question);
    let words = &phrases.skeleton;
    let features = features(&question);
    let parts: Vec<&Part> = features.iter().map(|feature| part(feature, &question)).collect();
    let mut text = format!("[SPEC_START]\n# {}: {}\n\n", words.specification, title(&question));
    let _ = write!(text, "## {}\n{}\n\n{}\n\n", words.goal, one_line(&question, 1000), words.goal_measure);
    let _ = write!(text, "## {}\n{}\n\n", words.users, words.users_text);
    section(&mut text, words.scope, parts.iter().map(|part| part.name));
    let _ = write!(text, "{}: {}.\n\n", words.left_out, left_out(&question, words));
    let screens = std::iter::once(words.start_screen).chain(parts.iter().map(|part| part.screen));
    section(&mut text, words.screens, screens.chain([words.error_screen]));
    section(&mut text, words.data, parts.iter().map(|part| part.data).chain([words.personal_data]));
    section(&mut text, words.rules, parts.iter().map(|part| part.rule));
    section(&mut text, words.acceptance, parts.iter().map(|part| part.check).chain(words.checks));
    section(&mut text, words.questions, words.open_questions);
    read_first(&mut text, sources, words);
    text.push_str("[SPEC_END]\n\n");
    text
}

/// An idea for what the question asks for.
pub(super) fn idea(question: &str, sources: &[Source], phrases: &Phrases) -> String {
    let question = harmless(question);
    let words = &phrases.skeleton;
    let features = features(&question);
    let parts: Vec<&Part> = features.iter().map(|feature| part(feature, &question)).collect();
    let mut text = format!("[IDEA_START]\n**{}:** {}\n\n", words.name, title(&question));
    let _ = write!(text, "**{}:** {}\n\n", words.in_one_sentence, one_line(&question, 300));
    let _ = write!(text, "**{}:** {}\n\n", words.for_whom, words.for_whom_text);
    let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
    let _ = writeln!(text, "**{}:** {}.", words.scope, names.join(", "));
    let _ = write!(text, "**{}:** {}.\n\n", words.left_out, left_out(&question, words));
    let _ = writeln!(text, "**{}:**", words.first_steps);
    let steps = words.steps.into_iter().chain(parts.first().map(|part| part.check));
    for (number, step) in (1..).zip(steps) {
        let _ = writeln!(text, "{number}. {step}");
    }
    text.push('\n');
    read_first(&mut text, sources, words);
    text.push_str("[IDEA_END]\n\n");
    text
}

/// Brackets in the question must not end the block early.
fn harmless(question: &str) -> String {
    question.replace('[', "(").replace(']', ")")
}

/// What the question asks for, or a form if it does not say.
fn features(question: &str) -> Vec<&'static Feature> {
    let mut features = wanted(question);
    if features.is_empty() {
        features.extend(ALL.iter().find(|feature| feature.words.contains(&"=form")));
    }
    features.truncate(MAX_FEATURES);
    features
}

fn part(feature: &'static Feature, question: &str) -> &'static Part {
    if is_russian(question) { &feature.russian } else { &feature.english }
}

/// What the question asks for beyond a first version, and what assistants like to add although it does not.
fn left_out(question: &str, words: &SkeletonPhrases) -> String {
    let wanted = wanted(question);
    let is_wanted = |feature: &Feature| wanted.iter().any(|other| other.english.name == feature.english.name);
    let added = ALL.iter().filter(|feature| feature.is_often_added && !is_wanted(feature));
    let others = wanted.iter().copied().skip(MAX_FEATURES).chain(added);
    let names: Vec<&str> = others.map(|feature| part(feature, question).name).chain([words.admin_page]).collect();
    names.join(", ")
}

fn section<'a>(text: &mut String, title: &str, lines: impl IntoIterator<Item = &'a str>) {
    let _ = writeln!(text, "## {title}");
    for line in lines {
        let _ = writeln!(text, "- {line}");
    }
    text.push('\n');
}

fn read_first(text: &mut String, sources: &[Source], words: &SkeletonPhrases) {
    if sources.is_empty() {
        return;
    }
    let _ = writeln!(text, "**{}:**", words.read_first);
    for (number, source) in (1..).zip(sources).take(3) {
        let _ = writeln!(text, "- {} [{number}]", harmless(&source.title));
    }
    text.push('\n');
}

/// The first sentence without the words that say that something is wanted.
fn title(question: &str) -> String {
    const BEGINNINGS: [&str; 16] = [
        "i want to build ",
        "i want to make ",
        "i want to create ",
        "i want ",
        "i would like to build ",
        "i'd like to build ",
        "i need ",
        "help me build ",
        "build me ",
        "make me ",
        "хочу сделать ",
        "хочу создать ",
        "хочу ",
        "мне нужен ",
        "мне нужна ",
        "нужен ",
    ];
    let sentence =
        question.split(['.', '!', '?', '\n']).map(str::trim).find(|part| !part.is_empty()).unwrap_or_default();
    let lower = sentence.to_lowercase();
    let skipped = BEGINNINGS
        .iter()
        .find(|beginning| lower.starts_with(**beginning))
        .map_or(0, |beginning| beginning.chars().count());
    let rest: String = sentence.chars().skip(skipped).collect();
    let line = one_line(&rest, 80);
    let mut letters = line.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::library::phrases::{ENGLISH, RUSSIAN};

    #[test]
    fn a_specification_contains_what_was_asked_for() {
        let text =
            specification("I want to build a site where neighbours book my pottery classes and pay.", &[], &ENGLISH);
        assert!(
            text.starts_with(
                "[SPEC_START]\n# Specification: A site where neighbours book my pottery classes and pay\n"
            ),
            "{text}"
        );
        for expected in
            ["- booking a time\n", "- a list of dates\n", "- payment\n", "Booking: time, name", "Two people who choose"]
        {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(text.contains("Not in this version: search and filters, comments, accounts, an admin page."), "{text}");
    }

    #[test]
    fn words_that_only_look_like_a_wish_ask_for_nothing() {
        for (question, asked, unasked) in [
            ("I would like to build a site for my bakery", "- a form\n", "- comments\n"),
            ("A site about books and how they inform us", "- a form\n", "- booking a time\n"),
            ("It should become a classic of Postgres", "- a form\n", "- a list of dates\n"),
        ] {
            let text = specification(question, &[], &ENGLISH);
            assert!(text.contains(asked) && !text.contains(unasked), "{question}\n{text}");
        }
        for (question, unasked) in [
            ("Платформа, которая работает быстро", "- оплата\n"),
            ("Платформа, которая работает быстро", "- галерея\n"),
            ("Хочу стать заметнее", "- статьи\n"),
        ] {
            let text = specification(question, &[], &RUSSIAN);
            assert!(text.contains("- форма\n") && !text.contains(unasked), "{question}\n{text}");
        }
    }

    #[test]
    fn what_exceeds_a_first_version_is_named_among_what_is_left_out() {
        let text = specification("A shop where people book classes, with a gallery, a blog and payment", &[], &ENGLISH);
        assert!(text.contains("Not in this version: articles, payment, search and filters, comments"), "{text}");
    }

    #[test]
    fn it_is_in_the_language_of_the_question() {
        let text = specification("Хочу сделать магазин свечей с отзывами", &[], &RUSSIAN);
        assert!(text.contains("# Техническое задание: Магазин свечей с отзывами\n"), "{text}");
        assert!(text.contains("- каталог с заказом\n") && text.contains("- отзывы\n"), "{text}");
        let text = idea("Хочу дневник тренировок", &[], &RUSSIAN);
        assert!(text.contains("**Название:** Дневник тренировок\n") && text.contains("статьи"), "{text}");
    }

    #[test]
    fn a_question_that_names_nothing_gets_the_simplest() {
        for question in ["", "???", "Something nice"] {
            assert!(specification(question, &[], &ENGLISH).contains("- a form\n"), "{question}");
            assert!(idea(question, &[], &ENGLISH).contains("a form."), "{question}");
        }
    }
}
