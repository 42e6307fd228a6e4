//! Numbers by day, in any time zone.

use cairn_core::Result as CoreResult;
use cairn_core::stats::daily::{self, Day};
use chrono::{Days, NaiveDate};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult};
use poem_openapi::{Enum, Object, OpenApi};
use sqlx::PgConnection;

use crate::caller::Admin;
use crate::export::{Accepted, Cell, Export, ExportFormat, JsonOrExport, Row, Source};
use crate::operation::{Problems, Tag};
use crate::params::{Date, parameter_type};
use crate::time::OptionalTime;
use crate::{App, Problem};

/// Numbers by day, in any time zone.
pub struct DailyApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// How many days an answer has at most: a leap year.
const MAX_DAYS: u64 = 366;

/// How many days it has unless the client says otherwise.
const DEFAULT_DAYS: u64 = 30;

/// The name of a time zone of the IANA database. `UTC` unless given.
pub struct TimeZone(pub(crate) String);

parameter_type!(TimeZone, "time_zone", required: false, MetaSchema {
    max_length: Some(60),
    pattern: Some(r"^(UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$".to_owned()),
    default: Some("UTC".into()),
    example: Some("Europe/Berlin".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for TimeZone {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
        // A name without a slash can be an abbreviation, which means different things in different places.
        let has_form = value == "UTC" || (value.contains('/') && value.split('/').all(is_part));
        if has_form && value.len() <= 60 {
            Ok(Self(value.to_owned()))
        } else {
            Err(ParseError::custom("the name of a time zone is expected, such as Europe/Berlin or UTC"))
        }
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        values.into_iter().next().map_or(Ok(Self("UTC".to_owned())), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

/// A number of each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum Metric {
    /// Learners who did something.
    ActiveLearners,
    /// Lessons that were completed.
    Completions,
    /// Likes of projects.
    Likes,
    /// Questions to AI tools.
    Questions,
    /// Users who registered.
    NewUsers,
}

/// What happened on a day. Numbers that were not asked for are null.
#[derive(Clone, Debug, Object)]
pub struct DailyStats {
    /// The day, in the time zone that was asked for.
    pub date: Date,
    /// The number of different learners who did something.
    pub active_learners: Option<i64>,
    /// The number of lessons that learners completed, as far as they are still completed.
    pub completions: Option<i64>,
    /// The number of likes that were given, as far as they were not taken back.
    pub likes: Option<i64>,
    /// The number of questions to AI tools.
    pub questions: Option<i64>,
    /// The number of users who registered, as far as their accounts are not deleted.
    pub new_users: Option<i64>,
}

impl DailyStats {
    /// The numbers of a day that were asked for. No metrics at all mean all.
    fn new(day: &Day, metrics: &[Metric]) -> Self {
        let shown = |metric, number| (metrics.is_empty() || metrics.contains(&metric)).then_some(number);
        Self {
            date: Date(day.date),
            active_learners: shown(Metric::ActiveLearners, day.active_learners),
            completions: shown(Metric::Completions, day.completions),
            likes: shown(Metric::Likes, day.likes),
            questions: shown(Metric::Questions, day.questions),
            new_users: shown(Metric::NewUsers, day.new_users),
        }
    }
}

/// Numbers by day.
#[derive(Clone, Debug, Object)]
pub struct DailySeries {
    /// The time zone in which days begin and end.
    pub time_zone: String,
    /// All changes until then are contained in the numbers; null before they were first computed.
    pub as_of: OptionalTime,
    /// One row for each day, in order. A day on which nothing happened has zeros.
    pub days: Vec<DailyStats>,
}

#[OpenApi]
impl DailyApi {
    /// Get numbers by day
    ///
    /// For up to 366 days in any time zone. Days begin and end by the clocks there, so those on which the clocks change have 23
    /// or 25 hours. With `format`, or if the `Accept` header asks for CSV or NDJSON, the days are exported.
    #[oai(path = "/admin/stats/daily", method = "get", operation_id = "getDailyStats", tag = Tag::Statistics)]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn get_daily_stats(
        &self,
        caller: Admin,
        /// The first day; 29 days before the last one unless given.
        from: Query<Option<Date>>,
        /// The last day, which is included; today unless given.
        to: Query<Option<Date>>,
        /// The time zone in which days begin and end, as the IANA database names it.
        time_zone: Query<TimeZone>,
        /// Only this number. Repeat the parameter for several. All numbers unless given.
        #[oai(default, validator(max_items = 5))]
        metrics: Query<Vec<Metric>>,
        /// The form of an export.
        format: Query<Option<ExportFormat>>,
        accepted: Accepted,
    ) -> Result<JsonOrExport<DailySeries, DailyStats>, Problem> {
        let TimeZone(time_zone) = time_zone.0;
        let mut connection = self.app.connection().await?;
        let today = daily::today(&mut connection, &time_zone).await?;
        let (first, last) = period(from.0, to.0, today, MAX_DAYS)?;
        let as_of = daily::as_of(&mut connection).await?;
        let days = daily::list(&mut connection, &time_zone, first, last).await?;
        drop(connection);
        let days = days.iter().map(|day| DailyStats::new(day, &metrics.0)).collect();
        match accepted.format(format.0) {
            None => Ok(JsonOrExport::Json(Json(DailySeries { time_zone, as_of: as_of.into(), days }))),
            Some(format) => {
                let export = Export::start(&self.app, &caller, format, "daily", Loaded(days)).await?;
                Ok(JsonOrExport::Export(export))
            }
        }
    }
}

/// The first and the last day.
pub(crate) fn period(
    from: Option<Date>,
    to: Option<Date>,
    today: NaiveDate,
    max_days: u64,
) -> Result<(NaiveDate, NaiveDate), Problem> {
    let last = to.map_or(today, |date| date.0);
    let first = from.map_or(last - Days::new(DEFAULT_DAYS - 1), |date| date.0);
    if first > last {
        return Err(Problem::invalid_parameter("to", "too_small", "The last day is before the first."));
    }
    if first + Days::new(max_days) <= last {
        let message = format!("At most {max_days} days are allowed.");
        return Err(Problem::invalid_parameter("from", "too_small", message));
    }
    Ok((first, last))
}

/// Days that have been read.
struct Loaded(Vec<DailyStats>);

impl Source for Loaded {
    type Row = DailyStats;

    async fn next(&mut self, _: &mut PgConnection) -> CoreResult<Vec<DailyStats>> {
        Ok(std::mem::take(&mut self.0))
    }
}

impl Row for DailyStats {
    const COLUMNS: &'static [&'static str] =
        &["date", "active_learners", "completions", "likes", "questions", "new_users"];

    fn cells(&self) -> Vec<Cell> {
        let numbers = [self.active_learners, self.completions, self.likes, self.questions, self.new_users];
        std::iter::once(Cell::Plain(self.date.0.to_string())).chain(numbers.map(Cell::plain)).collect()
    }
}
