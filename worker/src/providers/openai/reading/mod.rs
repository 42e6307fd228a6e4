//! Reads an answer while it arrives.
//!
//! An answer is complete only when the provider says so: with a finish reason that means that, and then an end marker or the
//! proper end of the body. What comes after a finish reason still belongs to the answer, because some servers send one too early
//! or with every event. An error that comes last makes the answer a failure as well, and its text is kept.

use cairn_core::config::Adjustment;
use cairn_core::tools::Reason;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::super::answer::{Ended, Failure, Piece, Tokens};
use super::details::ErrorDetails;
use super::dialect::Dialect;
use super::frames::{Frame, FrameError, Frames};
use super::refusal::{self, detail};
use super::said::{Finish, Said};
use super::thinking::{Split, Splitter, ThoughtBeforeTag};

/// See the module.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them can be true")]
pub(super) struct Reading<'a> {
    dialect: &'a dyn Dialect,
    frames: Frames,
    splitter: Splitter,
    tokens: Tokens,
    finish: Option<Finish>,
    /// Whether there was text after the last finish reason.
    has_more: bool,
    /// Whether the provider said that nothing follows.
    is_done: bool,
    /// Whether anything had the form that is expected.
    is_known: bool,
    /// Whether the text came in parts.
    has_parts: bool,
    /// Whether there is text that is more than white space.
    has_text: bool,
    has_thoughts: bool,
    refusal: String,
    response_id: Option<String>,
    /// What the answer shows about the model, for the next request.
    pub(super) learnt: Option<Adjustment>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(dialect: &'a dyn Dialect, thinks_first: bool) -> Self {
        let splitter = if thinks_first { Splitter::of_a_model_that_thinks_first() } else { Splitter::default() };
        Self {
            dialect,
            frames: Frames::default(),
            splitter,
            tokens: Tokens::default(),
            finish: None,
            has_more: false,
            is_done: false,
            is_known: false,
            has_parts: false,
            has_text: false,
            has_thoughts: false,
            refusal: String::new(),
            response_id: None,
            learnt: None,
        }
    }

    /// Reads more of the body, and adds what it says to `pieces`. Returns whether the answer is over.
    pub(super) fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<bool, Failure> {
        let frames = self.frames.push(bytes).map_err(unreadable)?;
        for frame in frames {
            self.event(&frame, pieces).map_err(|failure| self.over(failure, pieces))?;
            if self.is_done {
                break;
            }
        }
        Ok(self.is_done)
    }

    /// Reads the end of the body.
    pub(super) fn finish(mut self, pieces: &mut Vec<Piece>) -> Result<Ended, Failure> {
        if !self.is_done {
            let frames = self.frames.finish().map_err(unreadable)?;
            for frame in frames {
                let read = self.event(&frame, pieces);
                // A frame that the end of the body has cut off.
                let read = read.map_err(|failure| match failure.reason {
                    Reason::Malformed if self.has_text => Failure { reason: Reason::BrokenOff, ..failure },
                    _ => failure,
                });
                read.map_err(|failure| self.over(failure, pieces))?;
            }
        }
        let mut split = Split::default();
        self.splitter.finish(&mut split);
        self.split(split, pieces);
        let ended = self.end();
        ended.map_err(|failure| self.over(failure, pieces))
    }

    /// Notes that the provider keeps nothing that would be of use after a failure.
    fn over(&self, failure: Failure, pieces: &mut Vec<Piece>) -> Failure {
        if self.is_done && self.response_id.is_some() {
            pieces.push(Piece::Kept(None));
        }
        failure
    }

    fn event(&mut self, frame: &Frame, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        let data = frame.data.trim();
        if frame.name == "error" {
            let details = ErrorDetails::of_body(data.as_bytes());
            return Err(self.failed(refusal::failure(&details)));
        }
        if data.is_empty() {
            return Ok(());
        }
        // Most events are a single object. Some servers send several at once, with or without an end marker between them.
        let is_single = serde_json::from_str::<IgnoredAny>(data).is_ok();
        let lines: Vec<&str> = if is_single { vec![data] } else { data.lines().map(str::trim).collect() };
        for line in lines {
            if line.eq_ignore_ascii_case("[DONE]") {
                self.is_done = true;
                return Ok(());
            }
            for value in Deserializer::from_str(line).into_iter::<Value>() {
                let Ok(value) = value else { return Err(not_json(data)) };
                self.value(&value, pieces)?;
            }
        }
        Ok(())
    }

    /// Reads an object, or a list of them.
    fn value(&mut self, value: &Value, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.value(value, pieces)),
            Value::Object(_) => self.take(self.dialect.read(value), pieces),
            Value::Null => Ok(()),
            other => Err(not_json(&other.to_string())),
        }
    }

    fn take(&mut self, said: Said, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if said.tokens != Tokens::default() {
            self.tokens.update(said.tokens);
            pieces.push(Piece::Used(said.tokens));
        }
        if said.response_id.is_some() && self.response_id.is_none() {
            pieces.push(Piece::Kept(said.response_id.clone()));
            self.response_id = said.response_id;
        }
        self.is_known |= said.is_known;
        self.is_done |= said.is_last;
        if !said.thoughts.is_empty() {
            self.has_thoughts = true;
            pieces.push(Piece::Thoughts(said.thoughts));
        }
        self.refusal += &said.refusal;
        if self.refusal.is_empty() {
            self.refusal += &said.whole_refusal;
        }
        self.has_parts |= !said.text.is_empty();
        let text = if self.has_parts { said.text } else { said.whole_text };
        if !text.is_empty() {
            self.has_more = true;
            let mut split = Split::default();
            let read = self.splitter.push(&text, &mut split);
            self.split(split, pieces);
            if read == Err(ThoughtBeforeTag) {
                self.learnt = Some(Adjustment::ThinksFirst);
                let why = "the model thinks without saying so; from now on, only what follows `</think>` is its answer";
                return Err(Failure::new(Reason::Malformed, why));
            }
        }
        if let Some(finish) = said.finish {
            self.finish = Some(finish);
            self.has_more = false;
        }
        match said.error {
            Some(failure) => Err(self.failed(failure)),
            None => Ok(()),
        }
    }

    fn split(&mut self, split: Split, pieces: &mut Vec<Piece>) {
        if !split.thoughts.is_empty() {
            self.has_thoughts = true;
            pieces.push(Piece::Thoughts(split.thoughts));
        }
        if !split.answer.is_empty() {
            self.has_text |= has_visible(&split.answer);
            pieces.push(Piece::Text(split.answer));
        }
    }

    /// What the end means.
    fn end(&self) -> Result<Ended, Failure> {
        let fail = |reason, detail: String| Err(Failure::new(reason, detail));
        if !self.refusal.is_empty() {
            return fail(Reason::Refused, detail(&format!("the model declined to answer: {}", self.refusal), None));
        }
        match &self.finish {
            Some(Finish::Filtered) => fail(Reason::ContentFilter, "the answer was filtered".to_owned()),
            Some(Finish::Refused) => fail(Reason::Refused, "the model declined to answer".to_owned()),
            Some(Finish::Failed(why)) => {
                Err(self.failed(Failure::new(Reason::ProviderError, format!("the answer ended with `{why}`"))))
            }
            Some(Finish::Unknown(why)) => {
                let why = detail(why, None);
                fail(Reason::UnknownEnd, format!("the answer ended with `{why}`, whose meaning is not known"))
            }
            Some(_) if self.has_more && !self.is_done => {
                fail(Reason::BrokenOff, "the stream ended in the middle of the answer".to_owned())
            }
            Some(finish @ (Finish::Complete | Finish::Length)) => self.complete(*finish == Finish::Length),
            None if !self.frames.has_events() => Err(self.no_answer()),
            None if !self.is_known => {
                fail(Reason::Malformed, "the answer has a format that is not known: is CAIRN_AI_API right?".to_owned())
            }
            None if self.is_done => {
                fail(Reason::UnknownEnd, "the provider did not say why the answer ended".to_owned())
            }
            None if self.frames.stray().is_empty() => {
                fail(Reason::UnknownEnd, "the stream ended before the answer was complete".to_owned())
            }
            // Something in between, such as a proxy, has given up.
            None => {
                let stray = ErrorDetails::of_text(self.frames.stray()).message;
                let why = format!("the stream ended before the answer was complete: {stray}");
                fail(Reason::BrokenOff, detail(&why, None))
            }
        }
    }

    fn complete(&self, is_cut: bool) -> Result<Ended, Failure> {
        if self.has_text {
            return Ok(Ended { is_cut });
        }
        let has_thought = self.has_thoughts || self.tokens.thinking > Some(0);
        Err(match (is_cut, has_thought) {
            (true, true) => Failure::new(
                Reason::OnlyThinking,
                "the model used up the length of its answer by thinking: raise the instruction's max_tokens, or choose a \
                 model that thinks less",
            ),
            (true, false) => Failure::new(
                Reason::OnlyThinking,
                "the answer has reached its maximum length without any text: raise the instruction's max_tokens",
            ),
            (false, true) => Failure::new(Reason::EmptyAnswer, "the model has thought, but not answered"),
            (false, false) => Failure::new(Reason::EmptyAnswer, "the answer contains no text"),
        })
    }

    /// The meaning of a body without any event.
    fn no_answer(&self) -> Failure {
        let stray = self.frames.stray();
        if stray.is_empty() {
            return Failure::new(Reason::BrokenOff, "the response is empty");
        }
        let message = ErrorDetails::of_text(stray).message;
        Failure::new(Reason::Malformed, detail(&format!("no answer, but: {message}"), None))
    }

    /// A failure while an answer is being read. Once there is text, an outage counts as an answer that broke off, because the
    /// answer has been billed.
    fn failed(&self, failure: Failure) -> Failure {
        let is_outage = matches!(failure.reason, Reason::ProviderError | Reason::RateLimited);
        if self.has_text && is_outage { Failure { reason: Reason::BrokenOff, ..failure } } else { failure }
    }
}

/// Whether a reader sees any of a text. Some models end with nothing but characters that have no width, and NUL is not stored.
fn has_visible(text: &str) -> bool {
    let is_hidden = |c| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !is_hidden(c))
}

fn not_json(data: &str) -> Failure {
    let message = ErrorDetails::of_text(data).message;
    Failure::new(Reason::Malformed, detail(&format!("a part of the answer is not JSON: {message}"), None))
}

fn unreadable(error: FrameError) -> Failure {
    let reason = if error == FrameError::WholeTooLong { Reason::AnswerTooLong } else { Reason::Malformed };
    Failure::new(reason, error.to_string())
}

#[cfg(test)]
mod tests;
