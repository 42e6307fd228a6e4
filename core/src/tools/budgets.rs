//! Budgets: how much the tools may use in a day or a month, in tokens or in money.
//!
//! ```text
//! ask ──reserve: what the reply may cost at most──► ai_reservations ──the reply ends, whatever ends it──► removed
//!                                                     │ triggers                     attempts ──triggers──┐
//!                                                     └────────► ai_spending, ai_learner_spending ◄───────┘
//! ```
//!
//! A question is admitted as long as what was spent and what is reserved leave something of every budget that covers it. Those
//! who ask at the same time wait for each other, so all of them together exceed a budget by less than one reply. Questions
//! of evaluations reserve nothing: each is asked if its budgets leave something. A reply whose earlier attempts were paid for is
//! attempted again unless a budget is spent.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use super::attempts::Attempt;
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::Rejected;
use crate::settings::{Budget, BudgetPeriod, BudgetScope, BudgetUnit, Settings};

/// Of which part of a budget admins are warned, in tenths.
const WARNED_AT_TENTHS: i64 = 8;

/// How much of a budget is used.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetUse {
    /// The budget.
    pub budget: Budget,
    /// What was spent in this period. If each learner has such a budget and none is asked for, that of the learner who spent most.
    pub spent: i64,
    /// What is reserved for replies that are being written.
    pub reserved: i64,
    /// The first day of the period.
    pub starts_on: NaiveDate,
    /// When the next period begins.
    pub resets_at: DateTime<Utc>,
    /// The time until then, by the database's clock.
    pub resets_in: Duration,
}

impl BudgetUse {
    /// Whether nothing more may be reserved.
    fn is_full(&self) -> bool {
        self.spent.saturating_add(self.reserved) >= self.budget.amount
    }

    /// Whether the budget is spent, as opposed to reserved for replies that may cost less.
    pub fn is_spent(&self) -> bool {
        self.spent >= self.budget.amount
    }

    fn is_to_be_warned_of(&self) -> bool {
        self.spent.saturating_mul(10) >= self.budget.amount.saturating_mul(WARNED_AT_TENTHS)
    }

    /// The used part of the budget; 1 if the budget is nothing.
    pub fn ratio(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it is shown with a few digits")]
        let (spent, amount) = (self.spent as f64, self.budget.amount as f64);
        if self.budget.amount == 0 { 1.0 } else { spent / amount }
    }
}

/// A budget that leaves nothing for a question.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetExceeded(pub BudgetUse);

/// What was used by one learner, one tool or all, in one period.
struct Sums {
    starts_on: NaiveDate,
    resets_at: DateTime<Utc>,
    seconds: f64,
    tokens: i64,
    cost_micros: i64,
    reserved_tokens: i64,
    reserved_micros: i64,
}

impl Sums {
    fn of(&self, budget: Budget) -> BudgetUse {
        let (spent, reserved) = match budget.unit {
            BudgetUnit::Tokens => (self.tokens, self.reserved_tokens),
            BudgetUnit::CostMicros => (self.cost_micros, self.reserved_micros),
        };
        BudgetUse {
            budget,
            spent,
            reserved,
            starts_on: self.starts_on,
            resets_at: self.resets_at,
            resets_in: Duration::from_secs_f64(self.seconds.max(0.0)),
        }
    }
}

/// How much of these budgets is used. Those of learners are that of `user_id`, or of whoever spent most.
async fn uses(connection: &mut PgConnection, budgets: &[Budget], user_id: Option<Uuid>) -> Result<Vec<BudgetUse>> {
    if budgets.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"WITH period AS (
               SELECT p.name, p.starts_at::date AS starts_on, p.ends_at AT TIME ZONE 'UTC' AS resets_at
               FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AS day,
                         date_trunc('month', now() AT TIME ZONE 'UTC') AS month) n
               CROSS JOIN LATERAL (VALUES ('day', n.day, n.day + interval '1 day'),
                                          ('month', n.month, n.month + interval '1 month')) p (name, starts_at, ends_at)
           ), used AS (
               SELECT p.name AS period, g.scope, sum(s.tokens)::bigint AS tokens, sum(s.cost_micros)::bigint AS cost_micros,
                   sum(s.reserved_tokens)::bigint AS reserved_tokens, sum(s.reserved_micros)::bigint AS reserved_micros
               FROM period p
               JOIN ai_spending s ON s.day >= p.starts_on
               CROSS JOIN LATERAL (VALUES (s.tool_type::text), ('platform')) g (scope)
               GROUP BY 1, 2
               UNION ALL
               SELECT p.name, 'learner', coalesce(sum(s.tokens), 0)::bigint, coalesce(sum(s.cost_micros), 0)::bigint,
                   coalesce(sum(s.reserved_tokens), 0)::bigint, coalesce(sum(s.reserved_micros), 0)::bigint
               FROM period p JOIN ai_learner_spending s ON s.user_id = $1 AND s.day >= p.starts_on
               GROUP BY 1
               UNION ALL
               SELECT period, 'learner', max(tokens), max(cost_micros), max(reserved_tokens), max(reserved_micros)
               FROM (SELECT p.name AS period, s.user_id, sum(s.tokens)::bigint AS tokens,
                         sum(s.cost_micros)::bigint AS cost_micros, sum(s.reserved_tokens)::bigint AS reserved_tokens,
                         sum(s.reserved_micros)::bigint AS reserved_micros
                     FROM period p JOIN ai_learner_spending s ON s.day >= p.starts_on
                     WHERE $1::uuid IS NULL AND $2
                     GROUP BY 1, 2) most
               GROUP BY 1
           )
           SELECT p.name AS "period!", n.scope AS "scope!", p.starts_on AS "starts_on!", p.resets_at AS "resets_at!",
               extract(epoch FROM p.resets_at - now())::float8 AS "seconds!", coalesce(u.tokens, 0) AS "tokens!",
               coalesce(u.cost_micros, 0) AS "cost_micros!", coalesce(u.reserved_tokens, 0) AS "reserved_tokens!",
               coalesce(u.reserved_micros, 0) AS "reserved_micros!"
           FROM period p
           CROSS JOIN unnest(ARRAY['learner', 'assistant', 'tz_helper', 'ideas', 'platform']) n (scope)
           LEFT JOIN used u ON u.period = p.name AND u.scope = n.scope"#,
        user_id,
        budgets.iter().any(|budget| budget.scope == BudgetScope::Learner)
    );
    let rows = rows.fetch_all(connection).await?;
    let sums: HashMap<(String, String), Sums> = rows
        .into_iter()
        .map(|row| {
            let sums = Sums {
                starts_on: row.starts_on,
                resets_at: row.resets_at,
                seconds: row.seconds,
                tokens: row.tokens,
                cost_micros: row.cost_micros,
                reserved_tokens: row.reserved_tokens,
                reserved_micros: row.reserved_micros,
            };
            ((row.period, row.scope), sums)
        })
        .collect();
    let of = |budget: &Budget| {
        let key = (budget.period.name().to_owned(), budget.scope.name().to_owned());
        sums.get(&key).map(|sums| sums.of(*budget))
    };
    Ok(budgets.iter().filter_map(of).collect())
}

/// All budgets, with how much of each is used.
pub async fn list(connection: &mut PgConnection, settings: &Settings) -> Result<Vec<BudgetUse>> {
    uses(connection, &settings.budgets, None).await
}

/// The budgets that a question to a tool comes under; those of learners only if a learner asks.
fn covering(settings: &Settings, tool: Tool, is_learner: bool) -> Vec<Budget> {
    let covers = |scope: BudgetScope| match scope {
        BudgetScope::Learner => is_learner,
        BudgetScope::Platform => true,
        BudgetScope::Assistant | BudgetScope::TzHelper | BudgetScope::Ideas => scope.name() == tool.name(),
    };
    settings.budgets.iter().copied().filter(|budget| covers(budget.scope)).collect()
}

/// Refuses if a budget that covers a question leaves nothing. Those who ask wait here for each other until their transactions end.
pub async fn check(
    connection: &mut PgConnection,
    settings: &Settings,
    user_id: Option<Uuid>,
    tool: Tool,
) -> Result<(), Rejected<BudgetExceeded>> {
    let budgets = covering(settings, tool, user_id.is_some());
    if budgets.is_empty() {
        return Ok(());
    }
    // The budgets of a learner need no lock: their questions wait for each other anyway.
    if budgets.iter().any(|budget| budget.scope != BudgetScope::Learner) {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('budgets of the tools', 0))")
            .execute(&mut *connection)
            .await?;
    }
    let uses = uses(connection, &budgets, user_id).await?;
    // Of several, the one that keeps the caller out for longest.
    let full = uses.into_iter().filter(BudgetUse::is_full).max_by_key(|used| (used.is_spent(), used.resets_at));
    full.map_or(Ok(()), |used| Err(Rejected::Refused(BudgetExceeded(used))))
}

/// Whether a reply may be attempted again whose earlier attempts were paid for: not once a budget is spent. What others have reserved
/// does not matter, because they were admitted later, or with what is reserved for this reply in view. Going on with an answer that
/// the provider keeps costs nothing.
pub async fn leave_room(connection: &mut PgConnection, settings: &Settings, attempt: &Attempt) -> Result<bool> {
    let budgets = covering(settings, attempt.request.tool, true);
    if budgets.is_empty() || attempt.number == 1 || attempt.kept.is_some() {
        return Ok(true);
    }
    let was_paid = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM ai_reply_attempts a JOIN ai_replies r ON r.id = a.reply_id
               WHERE r.id = $1 AND a.attempt < $2 AND a.started_at >= r.queued_at AND a.prompt_tokens > 0) AS "was_paid!""#,
        attempt.reply_id,
        attempt.number
    );
    if !was_paid.fetch_one(&mut *connection).await? {
        return Ok(true);
    }
    Ok(!uses(connection, &budgets, Some(attempt.user_id)).await?.iter().any(BudgetUse::is_spent))
}

/// Reserves what a reply that was just queued may cost at most, or refuses it. Without budgets nothing is reserved.
///
/// A token is at least two bytes of any text that people write. The worker sends no more than the model's context has, of
/// earlier messages no more than 40, and the answer is no longer than the instruction allows.
pub(super) async fn reserve(
    connection: &mut PgConnection,
    settings: &Settings,
    user_id: Uuid,
    tool: Tool,
    reply_id: Uuid,
) -> Result<(), Rejected<BudgetExceeded>> {
    if settings.budgets.is_empty() {
        return Ok(());
    }
    check(connection, settings, Some(user_id), tool).await?;
    sqlx::query!(
        "INSERT INTO ai_reservations (reply_id, user_id, tool_type, day, tokens, cost_micros)
         SELECT r.id, r.user_id, i.tool_type, (now() AT TIME ZONE 'UTC')::date, p.tokens + i.max_tokens,
             coalesce(ai_cost(i.model, p.tokens, i.max_tokens), 0)
         FROM ai_replies r
         JOIN ai_system_instructions i ON i.id = r.instruction_id
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(octet_length(m.content)), 0) AS bytes
             FROM (SELECT content FROM tool_messages WHERE chat_id = r.chat_id ORDER BY created_at DESC, id DESC LIMIT 41) m
         ) h
         CROSS JOIN LATERAL (
             SELECT least(200 + (octet_length(i.content) + octet_length(r.context::text) + h.bytes) / 2,
                 (SELECT context_tokens FROM ai_models WHERE is_default LIMIT 1))::bigint AS tokens
         ) p
         WHERE r.id = $1
         ON CONFLICT (reply_id) DO UPDATE SET day = excluded.day, tokens = excluded.tokens, cost_micros = excluded.cost_micros",
        reply_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records a warning for admins of each budget of which four fifths are spent, once for each period. For when a question to this
/// tool has cost something.
pub async fn warn(tx: &mut Tx, settings: &Settings, user_id: Option<Uuid>, tool: Tool) -> Result<()> {
    let budgets = covering(settings, tool, user_id.is_some());
    for used in uses(tx, &budgets, user_id).await?.iter().filter(|used| used.is_to_be_warned_of()) {
        let Budget { scope, period, unit, amount } = used.budget;
        let learner = user_id.filter(|_| scope == BudgetScope::Learner);
        let warned = sqlx::query!(
            "INSERT INTO ai_budget_warnings (scope, period, unit, amount, starts_on, user_id)
             SELECT $1, $2, $3, $4, $5, $6
             WHERE $6::uuid IS NULL OR EXISTS (SELECT FROM users WHERE id = $6 AND erased_at IS NULL)
             ON CONFLICT DO NOTHING",
            scope.name(),
            period.name(),
            unit.name(),
            amount,
            used.starts_on,
            learner
        );
        if warned.execute(&mut **tx).await?.rows_affected() == 0 {
            continue;
        }
        tracing::warn!(
            budget.scope = scope.name(),
            budget.period = period.name(),
            budget.unit = unit.name(),
            budget.amount = amount,
            budget.spent = used.spent,
            "four fifths of a budget of the AI tools are spent"
        );
        let details = serde_json::json!({
            "scope": scope.name(), "period": period.name(), "unit": unit.name(), "amount": amount, "spent": used.spent,
            "starts_on": used.starts_on, "resets_at": used.resets_at,
        });
        let target = learner.map(|id| Target::new(Noun::User, id, ""));
        tx.record(Action::new(Noun::Budget, Verb::Warned).target(target).with(details))?;
    }
    Ok(())
}

/// The period as a word, for people.
pub const fn named(period: BudgetPeriod) -> &'static str {
    match period {
        BudgetPeriod::Day => "today",
        BudgetPeriod::Month => "this month",
    }
}
