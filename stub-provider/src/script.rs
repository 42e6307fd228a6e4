//! What a request is answered with.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::dialect::Dialect;

/// What a request is answered with: how long the answer is, how fast it comes, and what goes wrong.
///
/// A request names its script with a word that starts with `stub:` in its last user message, or as its model; the
/// message counts first. Without one the answer is thirty words at once. `key=value` pairs follow, separated by commas:
///
/// | key | meaning | default |
/// |---|---|---|
/// | `words` | length of the answer; each word is a piece of the stream | 30 |
/// | `think` | so many pieces of reasoning before the answer | 0 |
/// | `headers` | milliseconds before the status line | 0 |
/// | `first` | milliseconds from there to the first piece | 0 |
/// | `gap` | milliseconds between pieces | 0 |
/// | `clock` | 1: each piece is the time at which it is sent, in microseconds since 1970, instead of a word | 0 |
/// | `write` | bytes of one write: characters and frames are torn apart | whole frames |
/// | `fault` | what goes wrong, see [`Fault`]; a number is a status | `none` |
/// | `at` | so many pieces come before a fault in the stream | half of them |
/// | `times` | the fault befalls only the first so many requests with this script | all |
/// | `retry_after` | seconds (or any text) in a `Retry-After` header of an error | no header |
/// | `as` | whose format: `openai`, `openrouter`, `vllm`, `ollama`, `llamacpp` | `openai` |
///
/// `stub:words=200,gap=50` is a slow answer, `stub:fault=429,retry_after=2,times=1` a busy moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Pieces of the answer.
    pub words: usize,
    /// Pieces of reasoning before it.
    pub think: usize,
    /// Before the status line.
    pub headers: Duration,
    /// From the status line to the first piece.
    pub first: Duration,
    /// Between pieces.
    pub gap: Duration,
    /// Whether each piece is the time at which it is sent.
    pub clock: bool,
    /// Bytes of one write; `None` = a frame.
    pub write: Option<usize>,
    /// What goes wrong.
    pub fault: Fault,
    /// Pieces before the fault; `None` = half of them.
    pub at: Option<usize>,
    /// Requests that the fault befalls; `None` = all.
    pub times: Option<usize>,
    /// Value of a `Retry-After` header.
    pub retry_after: Option<String>,
    /// Whose format.
    pub dialect: Dialect,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `none`
    None,
    /// `429`, `500`, …: that status, with an error body in the format of the script's dialect.
    Status(u16),
    /// `quota`: the account is out of credit.
    Quota,
    /// `context`: the question is longer than the model can take.
    Context,
    /// `flagged`: the question is refused by a filter.
    Flagged,
    /// `model`: there is no such model.
    Model,
    /// `hang_up`: the connection is closed without an answer.
    HangUp,
    /// `redirect`: to another address.
    Redirect,
    /// `html`: a web page, with status 200.
    Html,
    /// `error_200`: an error body, with status 200.
    Error200,
    /// `disconnect`: the connection breaks in the middle of the stream.
    Disconnect,
    /// `end`: the stream ends in good order, but too early.
    End,
    /// `stall`: the stream stays open and nothing comes any more.
    Stall,
    /// `keepalive`: nothing but comments comes any more.
    Keepalive,
    /// `garbage`: a frame that is no JSON.
    Garbage,
    /// `bytes`: a frame that is no UTF-8.
    Bytes,
    /// `line`: a line that never ends.
    Line,
    /// `error`: an error object in the stream.
    Error,
    /// `overloaded`: an error object in the stream that says to come later.
    Overloaded,
    /// `empty`: a stream in good order, without any text.
    Empty,
    /// `filter`: the answer is cut by a content filter.
    Filter,
    /// `refusal`: the model declines in the field for that.
    Refusal,
    /// `length`: the answer is cut because it is as long as it may be.
    Length,
    /// `json`: the whole answer at once, as if no stream had been asked for. Not wrong, but not what was asked.
    Json,
    /// `no_done`: the stream ends after its finish reason. Not wrong, but some expect more.
    NoDone,
    /// `no_reason`: the stream is done without a finish reason.
    NoReason,
}

/// Every fault but statuses, by name.
const FAULTS: [(&str, Fault); 25] = [
    ("none", Fault::None),
    ("quota", Fault::Quota),
    ("context", Fault::Context),
    ("flagged", Fault::Flagged),
    ("model", Fault::Model),
    ("hang_up", Fault::HangUp),
    ("redirect", Fault::Redirect),
    ("html", Fault::Html),
    ("error_200", Fault::Error200),
    ("disconnect", Fault::Disconnect),
    ("end", Fault::End),
    ("stall", Fault::Stall),
    ("keepalive", Fault::Keepalive),
    ("garbage", Fault::Garbage),
    ("bytes", Fault::Bytes),
    ("line", Fault::Line),
    ("error", Fault::Error),
    ("overloaded", Fault::Overloaded),
    ("empty", Fault::Empty),
    ("filter", Fault::Filter),
    ("refusal", Fault::Refusal),
    ("length", Fault::Length),
    ("json", Fault::Json),
    ("no_done", Fault::NoDone),
    ("no_reason", Fault::NoReason),
];

impl Default for Script {
    fn default() -> Self {
        Self {
            words: 30,
            think: 0,
            headers: Duration::ZERO,
            first: Duration::ZERO,
            gap: Duration::ZERO,
            clock: false,
            write: None,
            fault: Fault::None,
            at: None,
            times: None,
            retry_after: None,
            dialect: Dialect::OpenAi,
        }
    }
}

impl Script {
    /// The answer, if nothing goes wrong and it is made of words.
    pub fn answer(&self) -> String {
        (0..self.words).map(word).collect()
    }

    /// A piece of the answer, now.
    pub(crate) fn piece(&self, n: usize) -> String {
        if !self.clock {
            return word(n);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{} ", now.as_micros())
    }

    /// Pieces that come before a fault in the stream.
    pub fn pieces_before_fault(&self) -> usize {
        self.at.unwrap_or(self.words / 2)
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not key=value"))?;
            let number = || value.parse::<usize>().map_err(|_| format!("{key} is `{value}`: a number is expected"));
            let milliseconds = || number().map(|n| Duration::from_millis(n as u64));
            match key {
                "words" => script.words = number()?,
                "think" => script.think = number()?,
                "headers" => script.headers = milliseconds()?,
                "first" => script.first = milliseconds()?,
                "gap" => script.gap = milliseconds()?,
                "clock" => script.clock = number()? > 0,
                "write" => script.write = Some(number()?.max(1)),
                "at" => script.at = Some(number()?),
                "times" => script.times = Some(number()?),
                "retry_after" => script.retry_after = Some(value.to_owned()),
                "fault" => script.fault = fault(value)?,
                "as" => script.dialect = Dialect::from_name(value).ok_or_else(|| format!("`{value}` is no format"))?,
                _ => return Err(format!("`{key}` is no key")),
            }
        }
        Ok(script)
    }
}

fn fault(name: &str) -> Result<Fault, String> {
    if let Ok(status) = name.parse() {
        return if (400..600).contains(&status) {
            Ok(Fault::Status(status))
        } else {
            Err(format!("{status} is no error status"))
        };
    }
    FAULTS
        .into_iter()
        .find_map(|(known, fault)| (known == name).then_some(fault))
        .ok_or_else(|| format!("`{name}` is no fault"))
}

/// The words of an answer in turn: in one to four bytes a character, with quotes, backslashes and line ends. Each
/// carries its number, so that an answer shows what it lost or got twice.
const WORDS: [&str; 8] =
    ["word", "слово", "\"quote\"", "back\\slash", "字詞", "👩🏽\u{200d}💻", "e\u{301}tude", "line\nend"];

/// A word of every answer, with the space before it.
pub(crate) fn word(n: usize) -> String {
    let space = if n == 0 { "" } else { " " };
    format!("{space}{}{n}", WORDS[n % WORDS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_and_its_mistakes_are_named() {
        let script: Script = "words=7,gap=50,fault=429,retry_after=2,times=1,as=vllm".parse().unwrap();
        assert_eq!((script.words, script.gap, script.times), (7, Duration::from_millis(50), Some(1)));
        assert_eq!((script.fault, script.dialect), (Fault::Status(429), Dialect::Vllm));
        assert_eq!(script.retry_after.as_deref(), Some("2"));
        assert_eq!("".parse(), Ok(Script::default()));
        for (text, says) in [
            ("words", "key=value"),
            ("words=x", "number"),
            ("speed=1", "no key"),
            ("fault=x", "no fault"),
            ("fault=200", "no error"),
        ] {
            let error = text.parse::<Script>().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn every_word_of_an_answer_is_another() {
        let answer = Script { words: 500, ..Script::default() }.answer();
        let words: std::collections::HashSet<&str> = answer.split(' ').collect();
        assert_eq!(words.len(), 500);
        assert!(answer.starts_with("word0 слово1 \"quote\"2"), "{answer}");
    }
}
