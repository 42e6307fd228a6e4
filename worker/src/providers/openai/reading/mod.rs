//! Reads an answer while it arrives.
//!
//! An answer is complete only when the provider says so: with a finish reason that means that, and then an end marker or the
//! proper end of the body. What comes after a finish reason still belongs to the answer, because some servers send one too early
//! or with every event. An error that comes last makes the answer a failure as well, and its text is kept.

use std::borrow::Cow;

use cairn_core::config::Adjustment;
use cairn_core::tools::Reason;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::super::answer::{Ended, Failure, Piece, Tokens};
use super::details::ErrorDetails;
use super::dialect::Dialect;
use super::frames::{Frame, FrameError, Frames};
use super::refusal::{Refusal, within};
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
    /// Whether whole messages had text.
    has_messages: bool,
    /// Whether the thoughts came in parts.
    has_parts_of_thoughts: bool,
    /// Whether there is text that is more than white space.
    has_text: bool,
    has_thoughts: bool,
    refusal: String,
    /// The name under which the provider keeps the answer.
    pub(super) response_id: Option<String>,
    /// The error that came in place of an answer: the request was refused after it had been accepted.
    pub(super) refused: Option<Refusal>,
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
            has_messages: false,
            has_parts_of_thoughts: false,
            has_text: false,
            has_thoughts: false,
            refusal: String::new(),
            response_id: None,
            refused: None,
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

    /// Whether anything of the answer was read.
    pub(super) fn has_begun(&self) -> bool {
        self.has_text || self.has_thoughts
    }

    /// Reads the end of the body.
    pub(super) fn finish(&mut self, pieces: &mut Vec<Piece>) -> Result<Ended, Failure> {
        if !self.is_done {
            // A frame or a letter that the end of the body has cut off.
            let cut = |failure: Failure, has_text| match failure.reason {
                Reason::Malformed if has_text => Failure { reason: Reason::BrokenOff, ..failure },
                _ => failure,
            };
            let frames = self.frames.finish().map_err(|error| cut(unreadable(error), self.has_text))?;
            for frame in frames {
                let read = self.event(&frame, pieces).map_err(|failure| cut(failure, self.has_text));
                read.map_err(|failure| self.over(failure, pieces))?;
            }
        }
        let mut split = Split::default();
        self.splitter.finish(&mut split, self.finish == Some(Finish::Length));
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
            return Err(self.refused(Refusal::of(ErrorDetails::of_body(data.as_bytes()))));
        }
        if data.is_empty() || is_sign_of_life(&frame.name) || is_sign_of_life(data) {
            return Ok(());
        }
        // Most events are a single object. Some servers send several at once, with or without an end marker between them.
        let is_single = serde_json::from_str::<IgnoredAny>(data).is_ok() || !data.contains('\n');
        let lines: Vec<&str> = if is_single { vec![data] } else { data.lines().map(str::trim).collect() };
        for line in lines {
            if line.eq_ignore_ascii_case("[DONE]") {
                self.is_done = true;
                return Ok(());
            }
            // Only what has them is worth a copy.
            let whole = if line.contains("\\u") { with_whole_characters(line) } else { Cow::Borrowed(line) };
            for value in Deserializer::from_str(&whole).into_iter::<Value>() {
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
        self.has_parts_of_thoughts |= !said.thoughts.is_empty();
        let thoughts = if self.has_parts_of_thoughts { said.thoughts } else { said.message_thoughts };
        if !thoughts.is_empty() {
            self.has_thoughts = true;
            pieces.push(Piece::Thoughts(thoughts));
        }
        self.refusal += &said.refusal;
        if self.refusal.is_empty() {
            self.refusal += &said.whole_refusal;
        }
        self.has_parts |= !said.text.is_empty();
        let text = match (self.has_parts, said.message_text) {
            (true, _) => said.text,
            (false, message) if !message.is_empty() => {
                self.has_messages = true;
                message
            }
            (false, _) if self.has_messages => String::new(),
            (false, _) => said.whole_text,
        };
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
            Some(refusal) => Err(self.refused(refusal)),
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
            return fail(Reason::Refused, within(&format!("the model declined to answer: {}", self.refusal)));
        }
        match &self.finish {
            Some(Finish::Filtered) => fail(Reason::ContentFilter, "the answer was filtered".to_owned()),
            Some(Finish::Refused) => fail(Reason::Refused, "the model declined to answer".to_owned()),
            Some(Finish::Failed(why)) => {
                Err(self.failed(Failure::new(Reason::ProviderError, format!("the answer ended with `{why}`"))))
            }
            Some(Finish::Unknown(why)) => {
                let why = within(why);
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
                fail(Reason::BrokenOff, within(&why))
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
        Failure::new(Reason::Malformed, within(&format!("no answer, but: {message}")))
    }

    /// An error within an answer, or in place of one.
    fn refused(&mut self, refusal: Refusal) -> Failure {
        let failure = self.failed(refusal.failure.clone());
        if !self.has_begun() {
            self.refused = Some(refusal);
        }
        failure
    }

    /// A failure while an answer is being read. Once there is text, an outage counts as an answer that broke off, because the
    /// answer has been billed.
    fn failed(&self, failure: Failure) -> Failure {
        let is_outage = matches!(failure.reason, Reason::ProviderError | Reason::RateLimited);
        if self.has_text && is_outage { Failure { reason: Reason::BrokenOff, ..failure } } else { failure }
    }
}

/// Whether an event, or its name, only keeps the connection open. Some gateways send comments as data.
fn is_sign_of_life(text: &str) -> bool {
    const WORDS: [&str; 4] = ["ping", "keepalive", "keep-alive", "heartbeat"];
    let word = text.trim_matches(['[', ']', '"']);
    text.starts_with(':') || WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// JSON with a replacement for each half of a character that is without the other half, which proxies leave that split texts by units
/// of UTF-16. It could not be read otherwise.
fn with_whole_characters(json: &str) -> Cow<'_, str> {
    let half = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok().filter(|unit| (0xd800..0xe000).contains(unit))
    };
    let (mut whole, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(next) = json[at..].find('\\') {
        at += next;
        match half(at) {
            Some(..0xdc00) if half(at + 6).is_some_and(|low| low >= 0xdc00) => at += 12,
            Some(_) => {
                whole.push_str(&json[copied..at]);
                whole.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            None => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if copied == 0 { Cow::Borrowed(json) } else { Cow::Owned(whole + &json[copied..]) }
}

/// Whether a reader sees any of a text. Some models end with nothing but characters that have no width, and NUL is not stored.
fn has_visible(text: &str) -> bool {
    let is_hidden = |c| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !is_hidden(c))
}

fn not_json(data: &str) -> Failure {
    let message = ErrorDetails::of_text(data).message;
    Failure::new(Reason::Malformed, within(&format!("a part of the answer is not JSON: {message}")))
}

fn unreadable(error: FrameError) -> Failure {
    let reason = if error == FrameError::WholeTooLong { Reason::AnswerTooLong } else { Reason::Malformed };
    Failure::new(reason, error.to_string())
}

#[cfg(test)]
mod tests;
