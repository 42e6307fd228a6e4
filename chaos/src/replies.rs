//! Compares the replies with what was asked, with what the provider has sent, and with what readers have received.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use cairn_stub_provider::{Case, Flaw, Shown, Stub, recognize};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::expected::{Expected, Question};

/// What became of the questions to a provider that shows its faults.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// Questions that were accepted.
    pub questions: usize,
    /// Questions that were refused because a budget was used up or reserved.
    pub refused: u64,
    /// How often each state or reason was the end of a reply.
    pub ends: BTreeMap<String, usize>,
    /// Requests that the provider received outside of outages, by how it answered.
    pub cases: BTreeMap<Case, usize>,
    /// How often each reason was the end of an attempt.
    pub attempts: BTreeMap<String, usize>,
    /// Attempts with the provider's usage, with an estimate, and without usage, because no request was accepted.
    pub usage: [usize; 3],
    /// How often readers had to connect again, and to drop their text.
    pub reconnects: [usize; 2],
    /// Questions without a reply in its final state.
    pub lost: usize,
    /// Questions with more than one reply, and answers with the same text twice.
    pub doubled: usize,
    /// Completed replies that lack their end and are not marked so.
    pub cut: usize,
    /// Texts with parts of several answers, or with parts missing.
    pub mixed: usize,
}

impl Replies {
    /// How many requests the provider received outside of outages.
    pub fn requests(&self) -> usize {
        self.cases.values().sum()
    }

    /// How many replies were completed.
    pub fn completed(&self) -> usize {
        self.ends.iter().filter(|(end, _)| end.starts_with("completed")).map(|(_, times)| times).sum()
    }
}

/// Formats the numbers as rows of the table of a report.
impl fmt::Display for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, value: &dyn fmt::Display| writeln!(f, "  {what:<34} {:>12}", value.to_string());
        row("questions accepted", &self.questions)?;
        row("questions refused for a budget", &self.refused)?;
        row("replies lost", &self.lost)?;
        row("replies doubled", &self.doubled)?;
        row("replies cut", &self.cut)?;
        row("replies mixed", &self.mixed)?;
        for (end, times) in &self.ends {
            row(&format!("  {end}"), times)?;
        }
        row("requests to the provider", &self.requests())?;
        for (case, times) in &self.cases {
            row(&format!("  {}", case.name()), times)?;
        }
        row("attempts", &self.attempts.values().sum::<usize>())?;
        for (end, times) in &self.attempts {
            row(&format!("  {end}"), times)?;
        }
        row("  usage of the provider", &self.usage[0])?;
        row("  usage estimated", &self.usage[1])?;
        row("  not accepted, no usage", &self.usage[2])?;
        row("readers connected again", &self.reconnects[0])?;
        row("readers started over", &self.reconnects[1])
    }
}

/// A reply as it is stored.
#[derive(Debug, FromRow)]
struct Stored {
    id: Uuid,
    question: String,
    state: String,
    reason: Option<String>,
    attempt: i32,
    answer: Option<String>,
}

/// An attempt as it is stored, with the text that it has stored.
#[derive(Debug, FromRow)]
struct Attempt {
    reply_id: Uuid,
    number: i32,
    reason: Option<String>,
    is_finished: bool,
    is_cut: bool,
    is_estimate: bool,
    prompt_tokens: Option<i32>,
    completion_tokens: Option<i32>,
    text: String,
}

impl Attempt {
    /// Whether its worker was lost or stopped, so that it could not tell what the provider has said.
    fn is_lost(&self) -> bool {
        matches!(self.reason.as_deref(), Some("superseded" | "interrupted"))
    }

    fn tokens(&self) -> Option<(i32, i32)> {
        self.prompt_tokens.zip(self.completion_tokens)
    }
}

/// Without faults of the provider, each reply is completed. Returns what is wrong.
pub(crate) async fn check_completed(pool: &PgPool) -> anyhow::Result<Option<String>> {
    let unanswered: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ai_replies r WHERE r.state <> 'completed' OR 1 <> (
             SELECT count(*) FROM tool_messages m WHERE m.id = r.answer_id AND m.role = 'assistant')",
    )
    .fetch_one(pool)
    .await?;
    Ok((unanswered > 0).then(|| format!("{unanswered} replies are not completed with exactly one message")))
}

/// Compares all of it, once all work is done. Also returns what is wrong.
pub(crate) async fn check(
    pool: &PgPool,
    stub: &Stub,
    expected: &[Expected],
    refused: u64,
) -> anyhow::Result<(Replies, Vec<String>)> {
    let stored: Vec<Stored> = sqlx::query_as(
        "SELECT r.id, r.question, r.state::text, r.reason, r.attempt, m.content AS answer
         FROM ai_replies r LEFT JOIN tool_messages m ON m.id = r.answer_id",
    )
    .fetch_all(pool)
    .await?;
    let attempts: Vec<Attempt> = sqlx::query_as(
        "SELECT a.reply_id, a.attempt AS number, a.reason, a.finished_at IS NOT NULL AS is_finished, a.is_cut, a.is_estimate,
             a.prompt_tokens, a.completion_tokens,
             coalesce((SELECT string_agg(k.content, '' ORDER BY k.seq) FROM ai_reply_chunks k
                       WHERE k.reply_id = a.reply_id AND k.attempt = a.attempt AND NOT k.is_thinking), '') AS text
         FROM ai_reply_attempts a ORDER BY a.reply_id, a.attempt",
    )
    .fetch_all(pool)
    .await?;
    let shown = stub.shown();
    let mut replies = Replies { refused, ..Replies::default() };
    for shown in &shown {
        *replies.cases.entry(shown.case).or_default() += 1;
    }
    for attempt in &attempts {
        *replies.attempts.entry(attempt.reason.clone().unwrap_or_else(|| "completed".to_owned())).or_default() += 1;
        replies.usage[if attempt.prompt_tokens.is_none() { 2 } else { usize::from(attempt.is_estimate) }] += 1;
    }
    let mut checks = Checks { replies, wrong: Vec::new() };
    let mut by_question: HashMap<&str, Vec<&Stored>> = HashMap::new();
    let mut by_reply: HashMap<Uuid, Vec<&Attempt>> = HashMap::new();
    let mut by_shown: HashMap<&str, Vec<&Shown>> = HashMap::new();
    for stored in &stored {
        by_question.entry(&stored.question).or_default().push(stored);
    }
    for attempt in &attempts {
        by_reply.entry(attempt.reply_id).or_default().push(attempt);
    }
    for shown in &shown {
        by_shown.entry(&shown.question).or_default().push(shown);
    }
    for question in expected.iter().flat_map(|person| &person.questions) {
        let stored = by_question.remove(question.text.as_str()).unwrap_or_default();
        let attempts = stored.first().and_then(|stored| by_reply.remove(&stored.id)).unwrap_or_default();
        let shown = by_shown.remove(question.text.as_str()).unwrap_or_default();
        checks.question(question, &stored, &attempts, &shown);
    }
    if !by_question.is_empty() || !by_shown.is_empty() {
        let (stored, shown) = (by_question.len(), by_shown.len());
        checks.wrong.push(format!("{stored} replies, and requests with {shown} questions, for what was not accepted"));
    }
    check_sums(pool, &stored, &mut checks).await?;
    Ok((checks.replies, checks.wrong))
}

/// Nothing is left reserved, and operators have a dead job for each failure that concerns them.
async fn check_sums(pool: &PgPool, stored: &[Stored], checks: &mut Checks) -> anyhow::Result<()> {
    let (messages, reserved, dead): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM tool_messages WHERE role = 'assistant'),
             (SELECT count(*) FROM ai_reservations)
                 + (SELECT coalesce(sum(reserved_tokens + reserved_micros), 0)::bigint FROM ai_spending)
                 + (SELECT coalesce(sum(reserved_tokens + reserved_micros), 0)::bigint FROM ai_learner_spending),
             (SELECT count(*) FROM apalis.jobs WHERE job_type = 'replies' AND status = 'Killed')",
    )
    .fetch_one(pool)
    .await?;
    let count = |of: &dyn Fn(&Stored) -> bool| stored.iter().filter(|stored| of(stored)).count();
    let completed = count(&|stored| stored.state == "completed");
    if usize::try_from(messages) != Ok(completed) {
        checks.wrong.push(format!("{messages} answers of {completed} completed replies"));
    }
    if reserved != 0 {
        checks.wrong.push(format!("{reserved} is left reserved"));
    }
    let concerning = count(&|stored| stored.reason.as_deref().is_some_and(|reason| !OF_LEARNERS.contains(&reason)));
    // A worker that was lost after the end of a reply was stored finds nothing to do, so its job is done.
    if usize::try_from(dead).is_ok_and(|dead| dead > concerning) {
        checks.wrong.push(format!("{dead} dead jobs of {concerning} failures that concern operators"));
    }
    Ok(())
}

/// Failures that are no concern of operators.
const OF_LEARNERS: [&str; 6] =
    ["content_filter", "refused", "context_too_long", "answer_too_long", "empty_answer", "budget_exceeded"];

/// How often a reply is attempted that ends with this reason, by what docs/AI.md promises: the number of billed attempts.
const LIMITS: [(&str, usize); 10] = [
    ("silent", 10),
    ("broken_off", 5),
    ("empty_answer", 3),
    ("malformed", 2),
    ("unknown_end", 2),
    ("too_slow", 2),
    ("only_thinking", 1),
    ("content_filter", 1),
    ("refused", 1),
    ("context_too_long", 1),
];

/// Ends of attempts that are billed and tried again.
const BILLED: [&str; 6] = ["silent", "broken_off", "empty_answer", "malformed", "unknown_end", "too_slow"];

/// How many workers have to be lost until a reply is given up.
const LOST_WORKERS: usize = 5;

/// The reasons for which an attempt may end that is answered so; none if it is completed.
fn reasons(case: Case) -> &'static [&'static str] {
    match case {
        Case::Disconnect | Case::Error | Case::LateError | Case::Stall => &["broken_off"],
        Case::End | Case::NoReason => &["unknown_end"],
        Case::Overloaded | Case::Failing | Case::Unavailable => &["provider_error"],
        Case::Garbage | Case::Html => &["malformed"],
        Case::Empty => &["empty_answer"],
        Case::Limited | Case::LimitedUntil => &["rate_limited"],
        Case::HangUp => &["unreachable"],
        // Of an answer that comes as a whole, nothing can be heard before it is complete.
        Case::Silent => &["silent", "too_slow"],
        Case::SilentStream => &["silent"],
        Case::Endless => &["too_slow"],
        Case::Filter => &["content_filter"],
        Case::Refusal => &["refused"],
        Case::Context => &["context_too_long"],
        Case::OnlyThinking => &["only_thinking"],
        Case::Plain
        | Case::Slow
        | Case::Split
        | Case::Comments
        | Case::Late
        | Case::Thoughts
        | Case::Tags
        | Case::Parts
        | Case::Label
        | Case::Whole
        | Case::NoDone
        | Case::Length
        | Case::Demand => &[],
    }
}

struct Checks {
    replies: Replies,
    wrong: Vec<String>,
}

impl Checks {
    fn question(&mut self, question: &Question, stored: &[&Stored], attempts: &[&Attempt], shown: &[&Shown]) {
        self.replies.questions += 1;
        self.replies.reconnects[0] += question.received.disconnects;
        self.replies.reconnects[1] += question.received.restarts;
        let [stored] = stored else {
            let counter = if stored.is_empty() { &mut self.replies.lost } else { &mut self.replies.doubled };
            *counter += 1;
            self.wrong.push(format!("\"{}\" has {} replies", question.text, stored.len()));
            return;
        };
        let mut findings = Vec::new();
        if stored.id != question.reply_id {
            findings.push(format!("it was accepted as {}", question.reply_id));
        }
        match stored.state.as_str() {
            "completed" => self.completed(stored, attempts, shown, &mut findings),
            "failed" => self.failed(stored, attempts, shown, &mut findings),
            state => {
                self.replies.lost += 1;
                findings.push(format!("it is {state}"));
            }
        }
        self.texts(stored, attempts, shown, &mut findings);
        reader(question, stored, attempts, &mut findings);
        usage(attempts, shown, &mut findings);
        if !findings.is_empty() {
            let findings = findings.join("; ");
            self.wrong.push(format!("{findings}:\n  {question:?}\n  {stored:?}\n  {attempts:#?}\n  {shown:#?}"));
        }
    }

    /// The answer is one whole answer to this question, or the beginning of one that is marked as cut.
    fn completed(&mut self, stored: &Stored, attempts: &[&Attempt], shown: &[&Shown], findings: &mut Vec<String>) {
        let text = stored.answer.as_deref().unwrap_or_default();
        let is_marked = attempts.last().is_some_and(|last| last.is_cut && last.reason.is_none());
        let end = if is_marked { "completed, marked as cut" } else { "completed" };
        *self.replies.ends.entry(end.to_owned()).or_default() += 1;
        let marked = match recognize(text, &stored.question) {
            Ok(marked) => marked,
            Err(flaw) => {
                self.flawed(flaw);
                findings.push(format!("the answer is {flaw:?}"));
                return;
            }
        };
        let Some(of) = shown.iter().find(|shown| shown.number == marked.number) else {
            self.replies.mixed += 1;
            findings.push(format!("request {} was never made", marked.number));
            return;
        };
        let is_cut = of.case == Case::Length;
        if marked.is_whole == is_cut || is_cut != is_marked || of.sent != text {
            self.replies.cut += 1;
            findings.push(format!("whole: {}, marked as cut: {is_marked}, as {of:?}", marked.is_whole));
        }
        if !reasons(of.case).is_empty() {
            findings.push(format!("{} is no complete answer", of.case.name()));
        }
    }

    /// The reason is one that the provider has shown, as often as it may be shown, and the text is kept that was sent last.
    fn failed(&mut self, stored: &Stored, attempts: &[&Attempt], shown: &[&Shown], findings: &mut Vec<String>) {
        let reason = stored.reason.clone().unwrap_or_default();
        *self.replies.ends.entry(format!("failed: {reason}")).or_default() += 1;
        let ended = |reasons: &[&str]| {
            attempts
                .iter()
                .filter(|attempt| attempt.reason.as_deref().is_some_and(|end| reasons.contains(&end)))
                .count()
        };
        if reason == "attempts_exhausted" {
            if ended(&["superseded"]) < LOST_WORKERS {
                findings.push("it was given up too early".to_owned());
            }
            return;
        }
        if reason == "budget_exceeded" {
            if !attempts.iter().any(|attempt| attempt.prompt_tokens > Some(0)) {
                findings.push("nothing of it was paid for, so no budget refuses another attempt".to_owned());
            }
            return;
        }
        let last = attempts.last().and_then(|last| last.reason.as_deref());
        let limit = LIMITS.iter().find(|(of, _)| *of == reason).map(|(_, limit)| *limit);
        if last != Some(&reason) || limit.is_none_or(|limit| limit > 1 && ended(&BILLED) < limit) {
            findings.push("it was given up too early, or for another reason than its last attempt".to_owned());
        }
        if !shown.iter().any(|shown| reasons(shown.case).contains(&reason.as_str())) {
            findings.push(format!("{reason} was not shown"));
        }
        if stored.answer.is_some() {
            findings.push("it has an answer".to_owned());
        }
    }

    /// Each attempt has stored what the provider has sent to one request, from the beginning.
    fn texts(&mut self, stored: &Stored, attempts: &[&Attempt], shown: &[&Shown], findings: &mut Vec<String>) {
        let mut numbers = HashSet::new();
        for attempt in attempts.iter().filter(|attempt| !attempt.text.is_empty()) {
            let of = match recognize(&attempt.text, &stored.question) {
                Ok(marked) => shown.iter().find(|shown| shown.number == marked.number),
                // Less than the mark at the beginning.
                Err(_) if "Answer ".starts_with(&attempt.text) => continue,
                Err(flaw) => {
                    self.flawed(flaw);
                    findings.push(format!("the text of attempt {} is {flaw:?}", attempt.number));
                    continue;
                }
            };
            let is_final = attempt.number == stored.attempt;
            match of {
                Some(of) if !numbers.insert(of.number) => {
                    self.replies.doubled += 1;
                    findings.push(format!("two attempts have the text of request {}", of.number));
                }
                Some(of) if of.sent == attempt.text => {}
                // The client may have left before it had read everything.
                Some(of) if of.sent.starts_with(&attempt.text) && (attempt.is_lost() || !is_final) => {}
                _ => {
                    self.replies.cut += 1;
                    findings.push(format!("the text of attempt {} is not what was sent", attempt.number));
                }
            }
        }
    }

    fn flawed(&mut self, flaw: Flaw) {
        match flaw {
            Flaw::Doubled => self.replies.doubled += 1,
            Flaw::Mixed | Flaw::Damaged => self.replies.mixed += 1,
        }
    }
}

/// The reader has received what is stored, and the end of the reply.
fn reader(question: &Question, stored: &Stored, attempts: &[&Attempt], findings: &mut Vec<String>) {
    let received = &question.received;
    let kept = attempts.iter().find(|attempt| attempt.number == stored.attempt);
    let text = stored.answer.as_deref().or(kept.map(|kept| kept.text.as_str())).unwrap_or_default();
    if received.text != text {
        findings.push("the reader has received something else".to_owned());
    }
    if received.end.as_deref() != Some(&stored.state) || received.reason != stored.reason {
        findings.push("the reader was told of another end".to_owned());
    }
}

/// Each request that was accepted has an attempt with its usage: that which the provider has sent, or an estimate.
fn usage(attempts: &[&Attempt], shown: &[&Shown], findings: &mut Vec<String>) {
    if attempts
        .iter()
        .any(|attempt| !attempt.is_finished || attempt.prompt_tokens.is_some() != attempt.completion_tokens.is_some())
    {
        findings.push("an attempt has no end, or half of its usage".to_owned());
    }
    // A refusal of a parameter, or of the length, is followed by another request of the same attempt.
    let again = shown.iter().filter(|shown| shown.is_refused || shown.case == Case::Context).count();
    if shown.len() - again > attempts.len() {
        findings.push(format!("{} requests of {} attempts", shown.len(), attempts.len()));
    }
    let mut sent: Vec<(i32, i32)> = Vec::new();
    for (prompt, completion) in shown.iter().filter_map(|shown| shown.usage) {
        sent.extend(i32::try_from(prompt).ok().zip(i32::try_from(completion).ok()));
    }
    let mut lost = 0;
    for attempt in attempts {
        match attempt.tokens() {
            Some(tokens) if !attempt.is_estimate => match sent.iter().position(|sent| *sent == tokens) {
                Some(index) => drop(sent.swap_remove(index)),
                None => findings.push(format!("nobody said that attempt {} used {tokens:?}", attempt.number)),
            },
            _ => lost += usize::from(attempt.is_lost()),
        }
    }
    if sent.len() > lost {
        findings.push(format!("what the provider said of {} requests is not recorded", sent.len() - lost));
    }
    let accepted = shown.iter().filter(|shown| shown.is_accepted).count();
    let recorded = attempts.iter().filter(|attempt| attempt.prompt_tokens.is_some()).count();
    if accepted > recorded {
        findings.push(format!("{accepted} requests were accepted, and {recorded} attempts have usage"));
    }
    // Nobody knows whether a request was accepted that was not answered in time.
    let is_open =
        |attempt: &&&Attempt| attempt.is_lost() || matches!(attempt.reason.as_deref(), Some("silent" | "too_slow"));
    let lost = attempts.iter().filter(is_open).count();
    if recorded > accepted + lost {
        findings.push(format!("{recorded} attempts have usage, and {accepted} requests were accepted"));
    }
}
