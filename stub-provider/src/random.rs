//! Faults at random: each request is answered in one of the ways that docs/AI.md lists.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::answer::Told;
use crate::demand::Demand;
use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::marked::{digest, pieces};
use crate::script::Script;

/// Declares the cases with their names and weights.
macro_rules! cases {
    ($($(#[$doc:meta])* $case:ident $name:literal $weight:literal,)+) => {
        /// How a request is answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Case {
            $($(#[$doc])* $case,)+
        }

        impl Case {
            /// All cases.
            pub const ALL: &'static [Self] = &[$(Self::$case,)+];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $name,)+
                }
            }

            /// How often it is chosen, in relation to the others.
            const fn weight(self) -> u32 {
                match self {
                    $(Self::$case => $weight,)+
                }
            }
        }
    };
}

cases! {
    /// A stream without faults.
    Plain "good" 16,
    /// A stream of some seconds.
    Slow "slow" 6,
    /// A stream in writes of some bytes.
    Split "split anywhere" 4,
    /// Comments before the answer, for longer than the provider may be silent.
    Comments "comments first" 3,
    /// Nothing for a while, before or after the status.
    Late "late" 3,
    /// Thoughts in a field of their own.
    Thoughts "thoughts" 4,
    /// Thoughts between tags in the text.
    Tags "thoughts in <think>" 4,
    /// The content as a list of parts.
    Parts "list of parts" 4,
    /// A stream that is called something else.
    Label "wrong content type" 4,
    /// The whole answer as one object.
    Whole "answer as a whole" 3,
    /// No end marker.
    NoDone "no end marker" 3,
    /// The beginning of the answer, and the reason `length`.
    Length "length" 4,
    /// The connection is lost in the middle.
    Disconnect "broken off" 4,
    /// The stream ends in the middle.
    End "ended early" 3,
    /// No finish reason.
    NoReason "no finish reason" 2,
    /// An error in the middle of the stream.
    Error "error in the stream" 2,
    /// An error after the finish reason.
    LateError "error after the end" 2,
    /// An error at the beginning of the stream.
    Overloaded "overloaded" 2,
    /// An event that is not JSON.
    Garbage "not JSON" 1,
    /// A web page.
    Html "web page" 1,
    /// No text.
    Empty "empty" 3,
    /// 429.
    Limited "429" 3,
    /// 429 with `Retry-After`.
    LimitedUntil "429, Retry-After" 3,
    /// 500 or 502.
    Failing "5xx" 3,
    /// 503 with `Retry-After`.
    Unavailable "503, Retry-After" 2,
    /// The connection is closed without a response.
    HangUp "connection dropped" 3,
    /// Nothing, not even a status.
    Silent "silent" 1,
    /// Nothing after the status.
    SilentStream "silent after the status" 1,
    /// Nothing more in the middle.
    Stall "silent in the middle" 2,
    /// Comments without an end.
    Endless "comments without an end" 1,
    /// Something in the request is refused.
    Demand "parameter refused" 5,
    /// A filter ends the answer.
    Filter "filtered" 1,
    /// The model declines.
    Refusal "declined" 1,
    /// The question is too long.
    Context "too long" 1,
    /// Nothing but thoughts.
    OnlyThinking "only thoughts" 1,
}

/// A request that was answered at random.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The question.
    pub question: String,
    /// The number of the request with this question, from 1.
    pub number: usize,
    /// How it was answered.
    pub case: Case,
    /// Whether it was refused because of something in it. It was answered otherwise if it met the demand.
    pub is_refused: bool,
    /// Whether the request was accepted: the status of a success was sent.
    pub is_accepted: bool,
    /// The text of the answer as far as it was sent.
    pub sent: String,
    /// Whether all was sent that was to be sent, before the client hung up.
    pub is_over: bool,
    /// The tokens of the request and of the answer, if they were sent.
    pub usage: Option<(usize, usize)>,
}

impl Shown {
    /// A request that is about to be answered.
    pub(crate) fn new(question: &str, number: usize, case: Case, is_refused: bool) -> Self {
        let (question, sent) = (question.to_owned(), String::new());
        Self { question, number, case, is_refused, is_accepted: false, sent, is_over: false, usage: None }
    }

    /// Notes what was sent.
    pub(crate) fn note(&mut self, script: &Script, told: Told, is_over: bool) {
        self.sent = (0..told.pieces).map(|n| script.piece(n)).collect();
        (self.is_accepted, self.usage, self.is_over) = (told.is_accepted, told.usage, is_over);
    }
}

/// The last line of what is asked, which precedes nothing that a client adds.
pub(crate) fn question(body: &Value) -> &str {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let question = messages.iter().rev().find(|message| message["role"] == "user");
    question.and_then(|message| message["content"].as_str()?.lines().last()).unwrap_or_default()
}

/// Chooses how a request is answered. The same seed, question and number give the same choice.
pub(crate) fn choose(seed: u64, question: &str, number: usize) -> (Case, Script) {
    let mut random = StdRng::seed_from_u64(digest(&format!("{seed} {number} {question}")));
    let case = *Case::ALL.choose_weighted(&mut random, |case| case.weight()).unwrap_or(&Case::Plain);
    (case, script(case, question, number, &mut random))
}

/// What a choice amounts to: who does not ask for a stream is shown no faults of streams.
pub(crate) fn as_asked(case: Case, body: &Value) -> Case {
    let needs_no_stream = matches!(
        case,
        Case::Limited
            | Case::LimitedUntil
            | Case::Failing
            | Case::Unavailable
            | Case::HangUp
            | Case::Silent
            | Case::Demand
            | Case::Context
            | Case::Html
    );
    if needs_no_stream || body["stream"] == true { case } else { Case::Whole }
}

/// An answer without faults.
pub(crate) fn plain(question: &str, number: usize) -> (Case, Script) {
    let mut random = StdRng::seed_from_u64(digest(&format!("{number} {question}")));
    (Case::Plain, script(Case::Plain, question, number, &mut random))
}

fn script(case: Case, question: &str, number: usize, random: &mut StdRng) -> Script {
    let milliseconds = |random: &mut StdRng, range| Duration::from_millis(random.random_range(range));
    let text = pieces(question, number, random.random_range(4..60));
    let words = text.len();
    let mut script = Script {
        words,
        text: Some(text),
        gap: milliseconds(random, 0..15),
        dialect: *Dialect::ALL.choose(random).unwrap_or(&Dialect::OpenAi),
        at: Some(random.random_range(1..words)),
        ..Script::default()
    };
    let fault = |fault| (fault, script.at);
    let (fault, at) = match case {
        Case::Plain
        | Case::Slow
        | Case::Split
        | Case::Comments
        | Case::Late
        | Case::Thoughts
        | Case::Tags
        | Case::Parts
        | Case::Label
        | Case::Demand => fault(Fault::None),
        Case::Whole => fault(Fault::Json),
        Case::NoDone => fault(Fault::NoDone),
        Case::Length => fault(Fault::Length),
        Case::OnlyThinking => (Fault::Length, Some(0)),
        Case::Disconnect => fault(Fault::Disconnect),
        Case::End => fault(Fault::End),
        Case::NoReason => fault(Fault::NoReason),
        Case::Error => fault(Fault::Error),
        Case::LateError => fault(Fault::LateError),
        Case::Overloaded => (Fault::Overloaded, Some(0)),
        Case::Garbage => fault(Fault::Garbage),
        Case::Html => fault(Fault::Html),
        Case::Empty => fault(Fault::Empty),
        Case::Limited | Case::LimitedUntil => fault(Fault::Status(429)),
        Case::Failing => fault(Fault::Status(*[500, 502].choose(random).unwrap_or(&500))),
        Case::Unavailable => fault(Fault::Status(503)),
        Case::HangUp => fault(Fault::HangUp),
        Case::Silent | Case::Stall => fault(Fault::Stall),
        Case::SilentStream => (Fault::Stall, Some(0)),
        Case::Endless => (Fault::Keepalive, Some(0)),
        Case::Filter => fault(Fault::Filter),
        Case::Refusal => fault(Fault::Refusal),
        Case::Context => fault(Fault::Context),
    };
    (script.fault, script.at) = (fault, at);
    match case {
        Case::Slow => script.gap = milliseconds(random, 50..120),
        Case::Split => script.write = Some(random.random_range(1..8)),
        Case::Comments => script.alive = random.random_range(40..90),
        Case::Late if random.random_bool(0.5) => script.headers = milliseconds(random, 300..1500),
        Case::Late => script.first = milliseconds(random, 300..1500),
        Case::Thoughts => script.think = random.random_range(1..40),
        Case::Tags => (script.think, script.tags) = (random.random_range(1..40), true),
        Case::OnlyThinking => script.think = 30,
        Case::Parts => script.parts = true,
        Case::Label => {
            script.content_type = ["text/plain", "application/json", ""].choose(random).map(|&name| name.to_owned());
        }
        Case::LimitedUntil | Case::Unavailable => script.retry_after = Some(random.random_range(1..4).to_string()),
        Case::Silent => script.headers = Duration::from_hours(1),
        Case::Demand => {
            let demands =
                [Demand::NoStreamOptions, Demand::NoTemperature, Demand::MaxCompletionTokens, Demand::NoStreaming];
            script.demands = demands.choose(random).copied().into_iter().collect();
        }
        _ => {}
    }
    script
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_decides_and_every_case_occurs() {
        let chosen = |seed| (0..2000).map(move |n| choose(seed, "One?", n));
        assert!(chosen(7).eq(chosen(7)));
        assert!(!chosen(7).eq(chosen(8)));
        let cases: BTreeSet<Case> = chosen(7).map(|(case, _)| case).collect();
        assert_eq!(cases.len(), Case::ALL.len());
    }
}
