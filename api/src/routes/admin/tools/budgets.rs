//! How much of the budgets of the AI tools is used.

use cairn_core::settings::{BudgetPeriod as Period, BudgetScope as Scope, BudgetUnit as Unit};
use cairn_core::tools::budgets::{self, BudgetUse};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::Date;
use crate::time::Time;
use crate::{App, Problem};

/// How much of the budgets of the AI tools is used.
pub struct BudgetsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// What a budget covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "Scope")]
pub enum BudgetScope {
    /// Each learner.
    Learner,
    /// The tool that answers questions.
    Assistant,
    /// The tool that writes specifications.
    TzHelper,
    /// The tool that suggests projects.
    Ideas,
    /// Everything.
    Platform,
}

/// How long a budget lasts, by the days and months of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "Period")]
pub enum BudgetPeriod {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "Unit")]
pub enum BudgetUnit {
    /// Tokens of requests and answers.
    Tokens,
    /// Millionths of the currency in which prices are configured.
    CostMicros,
}

/// A budget, and how much of it is used.
#[derive(Clone, Debug, Object)]
pub struct Budget {
    /// What it covers.
    pub scope: BudgetScope,
    /// How long it lasts.
    pub period: BudgetPeriod,
    /// What it is counted in.
    pub unit: BudgetUnit,
    /// How much it is.
    pub amount: i64,
    /// How much of it is spent; of a budget of each learner, by the learner who spent most.
    pub spent: i64,
    /// How much is reserved for replies that are being written; of a budget of each learner, at most for one of them.
    pub reserved: i64,
    /// Whether questions are refused because of it: all of it is spent.
    pub is_spent: bool,
    /// The first day of the period, in UTC.
    pub starts_on: Date,
    /// When the next period begins.
    pub resets_at: Time,
}

impl From<BudgetUse> for Budget {
    fn from(used: BudgetUse) -> Self {
        Self {
            scope: used.budget.scope.into(),
            period: used.budget.period.into(),
            unit: used.budget.unit.into(),
            amount: used.budget.amount,
            spent: used.spent,
            reserved: used.reserved,
            is_spent: used.is_spent(),
            starts_on: Date(used.starts_on),
            resets_at: Time(used.resets_at),
        }
    }
}

/// All budgets of the AI tools.
#[derive(Clone, Debug, Object)]
pub struct BudgetList {
    /// In the order of the setting `ai.budgets`.
    pub items: Vec<Budget>,
}

#[OpenApi]
impl BudgetsApi {
    /// List the budgets of the tools
    ///
    /// Those of the setting `ai.budgets`, with what is spent and reserved in their present periods. What a question may cost at
    /// most is reserved when it is asked, and replaced by what it did cost as soon as that is known. Admins are warned once in
    /// each period when four fifths of a budget are spent: by an activity `budget.warned`, and by an alarm.
    #[oai(path = "/admin/tools/budgets", method = "get", operation_id = "listBudgets", tag = Tag::ToolsAdmin)]
    async fn list_budgets(&self, _caller: Admin) -> Result<Json<BudgetList>, Problem> {
        let mut connection = self.app.connection().await?;
        let settings = self.app.settings(&mut connection).await?;
        let budgets = budgets::list(&mut connection, &settings).await?;
        Ok(Json(BudgetList { items: budgets.into_iter().map(Into::into).collect() }))
    }
}
