//! Scripts: how a request is answered.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::demand::Demand;
use crate::dialect::Dialect;
use crate::fault::Fault;

/// How a request is answered: how long the answer is, how fast it is sent, and what goes wrong.
///
/// A request names its script with a word that starts with `stub:` in its last user message, or else as its model. Without a
/// script, the answer is thirty words at once. `key=value` pairs follow the prefix, separated by commas:
///
/// | key | meaning | default |
/// |---|---|---|
/// | `words` | length of the answer; each word is a piece of the stream | 30 |
/// | `think` | number of reasoning pieces before the answer | 0 |
/// | `headers` | milliseconds before the status line | 0 |
/// | `first` | milliseconds from the status line to the first piece | 0 |
/// | `alive` | number of comments before the first piece, 50 ms apart, while nothing else is sent | 0 |
/// | `gap` | milliseconds between pieces | 0 |
/// | `clock` | if 1, each piece is the time at which it is sent, in microseconds since 1970, instead of a word | 0 |
/// | `write` | bytes per write, which splits characters and events | whole events |
/// | `fault` | what goes wrong: a status or a name, see [`Fault`] | `none` |
/// | `at` | number of pieces before a fault in the stream | half of them |
/// | `times` | the fault applies only to this many requests with this script | all |
/// | `retry_after` | the value of a `Retry-After` header of an error | no header |
/// | `type` | the content type of the answer; empty for none | that of streams |
/// | `parts` | if 1, the content of each piece is a list of parts | 0 |
/// | `tags` | if 1, what is thought is sent as text between `<think>` tags | 0 |
/// | `demands` | what requests must not have, as names of [`Demand`] joined by `+` | nothing |
/// | `accepts` | if 1, every request is accepted, and refused in place of the answer | 0 |
/// | `as` | the dialect: `openai`, `openrouter`, `vllm`, `ollama`, `llamacpp` | `openai` |
///
/// `stub:words=200,gap=50` is a slow answer, `stub:fault=429,retry_after=2,times=1` a provider that is busy once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them can be true")]
pub struct Script {
    /// Number of words in the answer.
    pub words: usize,
    /// Number of reasoning pieces before it.
    pub think: usize,
    /// Delay before the status line.
    pub headers: Duration,
    /// Delay from the status line to the first piece.
    pub first: Duration,
    /// Number of comments before the first piece.
    pub alive: usize,
    /// Delay between pieces.
    pub gap: Duration,
    /// Whether each piece is the time at which it is sent.
    pub clock: bool,
    /// Bytes per write; `None` for whole events.
    pub write: Option<usize>,
    /// What goes wrong.
    pub fault: Fault,
    /// Number of pieces before the fault; `None` for half of them.
    pub at: Option<usize>,
    /// Number of requests the fault applies to; `None` for all.
    pub times: Option<usize>,
    /// Value of the `Retry-After` header.
    pub retry_after: Option<String>,
    /// The content type of the answer; `None` for that of streams.
    pub content_type: Option<String>,
    /// Whether the content of each piece is a list of parts.
    pub parts: bool,
    /// Whether what is thought is sent as text between tags.
    pub tags: bool,
    /// The pieces of the answer instead of words; no key of scripts. There are as many as `words`.
    pub text: Option<Vec<String>>,
    /// What is demanded of requests.
    pub demands: Vec<Demand>,
    /// Whether every request is accepted, and refused in place of the answer.
    pub accepts: bool,
    /// The dialect.
    pub dialect: Dialect,
}

/// All faults by name, except statuses.
const FAULTS: [(&str, Fault); 26] = [
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
    ("late_error", Fault::LateError),
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
            alive: 0,
            gap: Duration::ZERO,
            clock: false,
            write: None,
            fault: Fault::None,
            at: None,
            times: None,
            retry_after: None,
            content_type: None,
            parts: false,
            tags: false,
            text: None,
            demands: Vec::new(),
            accepts: false,
            dialect: Dialect::OpenAi,
        }
    }
}

impl Script {
    /// The answer if nothing goes wrong and it does not consist of times.
    pub fn answer(&self) -> String {
        match &self.text {
            Some(pieces) => pieces.concat(),
            None => (0..self.words).map(word).collect(),
        }
    }

    /// A piece of the answer that is sent now.
    pub(crate) fn piece(&self, n: usize) -> String {
        if let Some(pieces) = &self.text {
            return pieces.get(n).cloned().unwrap_or_default();
        }
        if !self.clock {
            return word(n);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{} ", now.as_micros())
    }

    /// Number of pieces before a fault in the stream.
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
            let number = || value.parse::<usize>().map_err(|_| format!("{key} must be a number, not `{value}`"));
            let milliseconds = || number().map(|n| Duration::from_millis(n as u64));
            match key {
                "words" => script.words = number()?,
                "think" => script.think = number()?,
                "headers" => script.headers = milliseconds()?,
                "first" => script.first = milliseconds()?,
                "alive" => script.alive = number()?,
                "gap" => script.gap = milliseconds()?,
                "clock" => script.clock = number()? > 0,
                "write" => script.write = Some(number()?.max(1)),
                "at" => script.at = Some(number()?),
                "times" => script.times = Some(number()?),
                "retry_after" => script.retry_after = Some(value.to_owned()),
                "type" => script.content_type = Some(value.to_owned()),
                "parts" => script.parts = number()? > 0,
                "tags" => script.tags = number()? > 0,
                "accepts" => script.accepts = number()? > 0,
                "fault" => script.fault = fault(value)?,
                "demands" => {
                    let demand = |name| Demand::from_name(name).ok_or_else(|| format!("`{name}` is not a demand"));
                    script.demands = value.split('+').map(demand).collect::<Result<_, _>>()?;
                }
                "as" => {
                    script.dialect = Dialect::from_name(value).ok_or_else(|| format!("`{value}` is not a dialect"))?;
                }
                _ => return Err(format!("`{key}` is not a key")),
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
            Err(format!("{status} is not an error status"))
        };
    }
    FAULTS
        .into_iter()
        .find_map(|(known, fault)| (known == name).then_some(fault))
        .ok_or_else(|| format!("`{name}` is not a fault"))
}

/// The words of an answer in turn, with characters of one to four bytes, quotes, backslashes and newlines. A number is appended
/// to each, so that missing or repeated words show.
const WORDS: [&str; 8] =
    ["word", "слово", "\"quote\"", "back\\slash", "字詞", "👩🏽\u{200d}💻", "e\u{301}tude", "line\nend"];

/// The nth word of every answer, with the space before it.
pub(crate) fn word(n: usize) -> String {
    let space = if n == 0 { "" } else { " " };
    format!("{space}{}{n}", WORDS[n % WORDS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_parsed_and_mistakes_are_reported() {
        let script: Script = "words=7,gap=50,fault=429,retry_after=2,times=1,as=vllm".parse().unwrap();
        assert_eq!((script.words, script.gap, script.times), (7, Duration::from_millis(50), Some(1)));
        assert_eq!((script.fault, script.dialect), (Fault::Status(429), Dialect::Vllm));
        assert_eq!(script.retry_after.as_deref(), Some("2"));
        assert_eq!("".parse(), Ok(Script::default()));
        for (text, says) in [
            ("words", "key=value"),
            ("words=x", "number"),
            ("speed=1", "not a key"),
            ("fault=x", "not a fault"),
            ("fault=200", "not an error"),
        ] {
            let error = text.parse::<Script>().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn all_words_of_an_answer_differ() {
        let answer = Script { words: 500, ..Script::default() }.answer();
        let words: std::collections::HashSet<&str> = answer.split(' ').collect();
        assert_eq!(words.len(), 500);
        assert!(answer.starts_with("word0 слово1 \"quote\"2"), "{answer}");
    }
}
