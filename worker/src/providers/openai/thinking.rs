//! Keeps apart what a model thinks and what it answers, if both come as one text.
//!
//! Models put their thoughts between tags at the beginning of the answer, some also in between. Tags in code are part of the
//! answer, because learners ask about such things. A model whose prompt already contains the opening tag sends only the closing
//! one: that is noticed too late for an answer whose beginning has been passed on, so it is remembered for the next request
//! ([`Splitter::of_a_model_that_thinks_first`]).

use std::mem::take;

/// Opening and closing tags: DeepSeek, Qwen and most others; Claude and others through proxies; Gemma and Gemini; Seed; models
/// that were trained to think in the open; Cohere; `MiniMax`; Gemma 4; Mistral; Kimi; and three of gpt-oss, of a server that does
/// not read its markers: its thoughts, and what introduces its answer.
static TAGS: [(&str, &str); 14] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<mm:think>", "</mm:think>"),
    ("<|channel>", "<channel|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|channel|>final", "<|message|>"),
    ("<|start|>", "<|message|>"),
];

/// gpt-oss on a server that removes its markers and leaves the words between them.
static BARE: (&str, &str) = ("analysis", "assistantfinal");

/// How its thoughts begin. An answer may begin with `analysis` as well, such as the name of a variable.
static BARE_BEGINNINGS: [&str; 9] = ["The ", "We ", "User ", "Need ", "I ", "Let ", "Let's ", "They ", "It "];

/// What introduces or ends an answer, of servers that do not read the markers of their model.
static MARKS: [&str; 9] = [
    "<|im_end|>",
    "<|return|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
];

/// The length of the longest tag, in bytes.
const MAX_TAG: usize = 20;

/// A closing tag was read without an opening one, after text had been passed on as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThoughtBeforeTag;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing of the answer was read yet.
    #[default]
    Beginning,
    Answer,
    /// Thoughts up to this tag, at the beginning.
    Thoughts(&'static str),
    /// What is between two tags within the answer. If the closing one never comes, it is part of the answer.
    Between(&'static (&'static str, &'static str), String),
    /// The beginning of a model that thinks first, up to a closing tag. So many bytes were searched for one.
    Unopened(usize),
}

/// See the module.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them can be true")]
pub(super) struct Splitter {
    state: State,
    /// Text that was not decided on.
    held: String,
    /// The last character that was decided on, if it is part of the answer.
    last: Option<char>,
    in_fence: bool,
    in_code: bool,
    has_thoughts: bool,
    /// Whether an earlier part had text of the answer.
    has_passed_on: bool,
}

/// A text, split.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) answer: String,
    pub(super) thoughts: String,
}

impl Splitter {
    /// For a model of which it is known that its answers begin with thoughts without an opening tag.
    pub(super) fn of_a_model_that_thinks_first() -> Self {
        Self { state: State::Unopened(0), ..Self::default() }
    }

    /// Splits the next part of the text. `split` is empty.
    pub(super) fn push(&mut self, text: &str, split: &mut Split) -> Result<(), ThoughtBeforeTag> {
        self.held.push_str(text);
        while self.step(split)? {}
        self.has_passed_on |= !split.answer.is_empty();
        Ok(())
    }

    /// Splits what is left at the end. `is_cut` is whether the model was stopped at the maximum length.
    pub(super) fn finish(&mut self, split: &mut Split, is_cut: bool) {
        let rest = take(&mut self.held);
        match take(&mut self.state) {
            State::Thoughts(_) => split.thoughts.push_str(&rest),
            State::Unopened(_) if is_cut => split.thoughts.push_str(&rest), // it did not come to its answer
            State::Between(tags, text) if is_cut && *tags == BARE => {
                split.thoughts.push_str(&text);
                split.thoughts.push_str(&rest);
            }
            State::Between((open, _), text) => {
                split.answer.push_str(open);
                split.answer.push_str(&text);
                split.answer.push_str(&rest);
            }
            State::Beginning if self.has_thoughts => split.answer.push_str(rest.trim_start()),
            State::Beginning | State::Answer | State::Unopened(_) => split.answer.push_str(&rest),
        }
    }

    /// Decides on the next part of the held text. Returns `false` if more text is needed.
    fn step(&mut self, split: &mut Split) -> Result<bool, ThoughtBeforeTag> {
        match &mut self.state {
            State::Beginning => Ok(self.begin()),
            State::Answer => self.answer(split),
            State::Thoughts(close) => {
                let close = *close;
                let is_closed = cut(&mut self.held, close, &mut split.thoughts);
                if is_closed {
                    self.state = State::Beginning;
                }
                Ok(is_closed)
            }
            State::Between(tags, text) => {
                let is_closed = cut(&mut self.held, tags.1, text);
                if is_closed {
                    split.thoughts.push_str(text);
                    self.has_thoughts = true;
                    self.state = if *tags == &BARE { State::Beginning } else { State::Answer };
                }
                Ok(is_closed)
            }
            State::Unopened(searched) => {
                let searched = *searched;
                Ok(self.unopened(searched, split))
            }
        }
    }

    fn begin(&mut self) -> bool {
        let text = self.held.trim_start();
        if let Some((open, close)) = TAGS.iter().find(|(open, _)| starts_with(text, open)) {
            self.held = String::from(&text[open.len()..]);
            self.has_thoughts = true;
            self.state = State::Thoughts(close);
            return true;
        }
        if TAGS.iter().any(|(open, _)| starts_with(open, text)) {
            return false; // white space, or the beginning of a tag
        }
        if !self.has_thoughts && BARE.0.starts_with(text) {
            return false;
        }
        if let Some(thoughts) = text.strip_prefix(BARE.0).filter(|_| !self.has_thoughts) {
            if BARE_BEGINNINGS.iter().any(|beginning| thoughts.starts_with(beginning)) {
                self.held = thoughts.to_owned();
                self.state = State::Between(&BARE, String::new());
                return true;
            }
            if BARE_BEGINNINGS.iter().any(|beginning| beginning.starts_with(thoughts)) {
                return false;
            }
        }
        if self.has_thoughts {
            self.held = text.to_owned();
        }
        self.state = State::Answer;
        true
    }

    fn answer(&mut self, split: &mut Split) -> Result<bool, ThoughtBeforeTag> {
        let held = take(&mut self.held);
        let mut at = 0;
        while let Some(next) = held[at..].chars().next() {
            let rest = &held[at..];
            let is_code = self.in_fence || self.in_code;
            let mut length = next.len_utf8();
            match next {
                '`' if !self.in_code && rest.starts_with("```") => {
                    self.in_fence = !self.in_fence;
                    length = 3;
                }
                '`' if rest.len() < 3 && rest.bytes().all(|byte| byte == b'`') => break,
                '`' if !self.in_fence => self.in_code = !self.in_code,
                '\n' => self.in_code = false,
                '<' | '[' | '◁' if !is_code => {
                    if let Some(tags) = TAGS.iter().find(|(open, _)| starts_with(rest, open)) {
                        split.answer.push_str(&held[..at]);
                        self.has_thoughts = true;
                        self.state = State::Between(tags, String::new());
                        self.held = String::from(&rest[tags.0.len()..]);
                        return Ok(true);
                    }
                    if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
                        split.answer.push_str(&held[..at]);
                        self.held = String::from(&rest[mark.len()..]);
                        return Ok(true);
                    }
                    if let Some((_, close)) = TAGS.iter().find(|(_, close)| starts_with(rest, close)) {
                        if self.has_thoughts || self.last.is_none_or(may_precede_close) {
                            self.held = String::from(&rest[close.len()..]);
                            return self.unexpected_close(&held[..at], split);
                        }
                    } else if tags().any(|tag| starts_with(tag, rest)) {
                        break;
                    }
                }
                _ => {}
            }
            at += length;
            self.last = Some(next);
        }
        split.answer.push_str(&held[..at]);
        self.held = String::from(&held[at..]);
        Ok(false)
    }

    /// A closing tag without an opening one. `before` is the text of this part that precedes it.
    fn unexpected_close(&mut self, before: &str, split: &mut Split) -> Result<bool, ThoughtBeforeTag> {
        if self.has_thoughts {
            split.answer.push_str(before); // one tag too many
            return Ok(true);
        }
        if self.has_passed_on {
            return Err(ThoughtBeforeTag);
        }
        split.thoughts.push_str(&take(&mut split.answer));
        split.thoughts.push_str(before);
        (self.has_thoughts, self.last) = (true, None);
        self.state = State::Beginning;
        Ok(true)
    }

    fn unopened(&mut self, searched: usize, split: &mut Split) -> bool {
        let text = self.held.trim_start();
        if TAGS.iter().any(|(open, _)| starts_with(text, open)) {
            self.state = State::Beginning;
            return true;
        }
        let from = self.held.floor_char_boundary(searched.saturating_sub(MAX_TAG));
        let found = TAGS.iter().filter_map(|(_, close)| Some((from + find(&self.held[from..], close)?, close.len())));
        let Some((at, length)) = found.min() else {
            self.state = State::Unopened(self.held.len());
            return false;
        };
        split.thoughts.push_str(&self.held[..at]);
        self.held = self.held[at + length..].to_owned();
        self.has_thoughts = true;
        self.state = State::Beginning;
        true
    }
}

/// Everything that is no part of an answer.
fn tags() -> impl Iterator<Item = &'static str> {
    TAGS.iter().flat_map(|(open, close)| [*open, *close]).chain(MARKS)
}

/// Whether a text starts with another one, whatever the case.
fn starts_with(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start.as_bytes()))
}

/// Where a text has another one, whatever the case.
fn find(text: &str, part: &str) -> Option<usize> {
    text.to_ascii_lowercase().find(&part.to_ascii_lowercase())
}

fn ends_with(text: &str, end: &str) -> bool {
    let from = text.len().checked_sub(end.len());
    from.is_some_and(|from| text.as_bytes()[from..].eq_ignore_ascii_case(end.as_bytes()))
}

/// Whether thoughts may end with this character: a line, a word or a sentence ends there. Who writes about the tag has a space, a
/// bracket or a quotation mark before it.
fn may_precede_close(last: char) -> bool {
    last == '\n' || last.is_alphanumeric() || matches!(last, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

/// Moves the text before a tag, and removes the tag. Without the tag, moves what cannot be part of it. Returns whether there
/// was one.
fn cut(held: &mut String, tag: &str, into: &mut String) -> bool {
    if let Some(at) = find(held, tag) {
        into.push_str(&held[..at]);
        held.drain(..at + tag.len());
        return true;
    }
    let starts = tag.char_indices().map(|(end, _)| end).filter(|end| ends_with(held, &tag[..*end]));
    let kept = starts.max().unwrap_or(0);
    into.extend(held.drain(..held.len() - kept));
    false
}

/// The answer alone, of a text that may contain thoughts.
pub(super) fn without_thoughts(text: &str) -> String {
    let (mut splitter, mut split) = (Splitter::default(), Split::default());
    // The text is a single part, so nothing can have been passed on.
    let _ = splitter.push(text, &mut split);
    splitter.finish(&mut split, false);
    split.answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a text that arrives in parts of this many characters.
    fn split(mut splitter: Splitter, text: &str, size: usize) -> Result<(String, String), ThoughtBeforeTag> {
        let (mut answer, mut thoughts) = (String::new(), String::new());
        let chars: Vec<char> = text.chars().collect();
        for part in chars.chunks(size) {
            let mut split = Split::default();
            splitter.push(&part.iter().collect::<String>(), &mut split)?;
            answer += &split.answer;
            thoughts += &split.thoughts;
        }
        let mut split = Split::default();
        splitter.finish(&mut split, false);
        Ok((answer + &split.answer, thoughts + &split.thoughts))
    }

    #[track_caller]
    fn check(text: &str, answer: &str, thoughts: &str) {
        for size in [1, 2, 3, 5, 8, 1000] {
            let found = split(Splitter::default(), text, size);
            assert_eq!(found, Ok((answer.to_owned(), thoughts.to_owned())), "{text:?} in parts of {size}");
        }
        assert_eq!(without_thoughts(text), answer);
    }

    #[test]
    fn thoughts_at_the_beginning_are_kept_apart_wherever_the_text_is_split() {
        for (open, close) in TAGS {
            check(&format!("{open}слово <b> [x] {close}\n\nAnswer"), "Answer", "слово <b> [x] ");
            check(&format!(" \n{open}a{close}{open}b{close} Answer {close}"), "Answer ", "ab");
            check(&format!("{open}never ends [SPEC_START]"), "", "never ends [SPEC_START]");
            check(&format!("{open}{close}"), "", "");
        }
    }

    #[test]
    fn thoughts_in_between_are_kept_apart_and_code_is_not_touched() {
        check("One <think>two</think>three", "One three", "two");
        check("<think>a</think>One\n<think>b</think>two", "One\ntwo", "ab");
        check(
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>One",
            "One",
            "hmassistant<|channel|>final",
        );
        for text in [
            "plain",
            "  indented",
            "a < b and <b>bold</b> <thin> [THIN",
            "Use `<think>` and `</think>`.",
            "```html\n<think>a</think>\n</think>\n```\nDone",
            "`a` ``b`` <",
            "An unclosed <think> is text, and so is the rest.",
            "inline </think> is text",
            "",
            " \n",
        ] {
            check(text, text, "");
        }
    }

    /// Augustas11/macprovider#743.
    #[test]
    fn thoughts_without_markers_are_recognized_by_the_words_between_them() {
        check("analysisThe user asks.assistantfinalOne", "One", "The user asks.");
        check("analysisLet's see.assistantfinal\n\nOne\n", "One\n", "Let's see.");
        for text in [
            "analysis",
            "analysi",
            "analysis of data",
            "analyses",
            "analysisThe",
            "analysisThe user never comes to an end",
            "analysisResult is a name",
            "analysisData.map(x)",
            "Analysis",
        ] {
            check(text, text, "");
        }
        let (mut splitter, mut cut) = (Splitter::default(), Split::default());
        splitter.push("analysisThe user asks for", &mut cut).unwrap();
        splitter.finish(&mut cut, true);
        assert_eq!((cut.answer.as_str(), cut.thoughts.as_str()), ("", "The user asks for"));
    }

    #[test]
    fn markers_and_the_case_of_tags_do_not_matter() {
        check("<Think>a</THINK>One", "One", "a");
        // lmstudio-ai/lmstudio-bug-tracker#2013, Blaizzy/mlx-vlm#899.
        check("<|channel>thought\nThe user asks.<channel|>One", "One", "thought\nThe user asks.");
        check("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>One<|END_RESPONSE|>", "One", "a");
        check("One<|im_end|>", "One", "");
        check("Write `<|im_end|>` here.", "Write `<|im_end|>` here.", "");
    }

    #[test]
    fn a_closing_tag_alone_shows_that_the_model_thinks_first() {
        // GLM and others end a sentence with it (lmstudio-ai/lmstudio-bug-tracker#1495).
        for text in [
            "Hm.\n</think>\n\nAnswer",
            "Hm.\nWell.\n</think>Answer",
            "Hm, simple question.</think>Answer",
            "Hm well</think>Answer",
        ] {
            assert_eq!(split(Splitter::default(), text, 2), Err(ThoughtBeforeTag), "{text}");
            let (answer, thoughts) = split(Splitter::default(), text, 1000).unwrap();
            assert_eq!((answer.as_str(), thoughts.starts_with("Hm")), ("Answer", true), "nothing was passed on yet");
            for size in [1, 3, 1000] {
                let known = split(Splitter::of_a_model_that_thinks_first(), text, size).unwrap();
                assert_eq!((known.0.as_str(), known.1), ("Answer", thoughts.clone()), "{text} in parts of {size}");
            }
        }
        check("</think>\nAnswer", "Answer", "");
        // A model of which this is known may answer without thinking, or open the tag.
        for (text, answer) in [("Answer", "Answer"), (" <think>a</think>Answer", "Answer")] {
            let known = split(Splitter::of_a_model_that_thinks_first(), text, 1).unwrap();
            assert_eq!(known.0, answer);
        }
    }
}
