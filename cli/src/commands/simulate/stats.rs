//! Counts and times what happened.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// The statistics of one person, or of everybody of a role.
#[derive(Debug, Default)]
pub(super) struct Stats {
    actions: BTreeMap<&'static str, u64>,
    /// Refusals that are not errors, such as a locked stage or an unfinished task.
    refusals: BTreeMap<String, u64>,
    /// For each kind of error, how often it occurred and the first one in full.
    errors: BTreeMap<String, (u64, String)>,
    /// The answers that were no success, by status.
    statuses: BTreeMap<u16, u64>,
    requests: Vec<Duration>,
    rollups: Vec<Duration>,
}

impl Stats {
    pub(super) fn action(&mut self, name: &'static str) {
        *self.actions.entry(name).or_default() += 1;
    }

    pub(super) fn refusal(&mut self, code: &str) {
        *self.refusals.entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn status(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    pub(super) fn error(&mut self, kind: String, first: impl FnOnce() -> String) {
        self.errors.entry(kind).or_insert_with(|| (0, first())).0 += 1;
    }

    pub(super) fn request(&mut self, took: Duration) {
        self.requests.push(took);
    }

    /// The time from the response to a completion until the progress figures include it.
    pub(super) fn rollup(&mut self, took: Duration) {
        self.rollups.push(took);
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.values().map(|(count, _)| count).sum()
    }

    pub(super) fn add(&mut self, other: Self) {
        for (name, count) in other.actions {
            *self.actions.entry(name).or_default() += count;
        }
        for (code, count) in other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        for (kind, (count, first)) in other.errors {
            self.errors.entry(kind).or_insert((0, first)).0 += count;
        }
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.requests.extend(other.requests);
        self.rollups.extend(other.rollups);
    }

    /// The table that is printed at the end.
    pub(super) fn table(&mut self, took: Duration) -> String {
        let mut table = String::new();
        let actions: u64 = self.actions.values().sum();
        for (name, count) in &self.actions {
            line(&mut table, name, &count.to_string());
        }
        for (code, count) in &self.refusals {
            line(&mut table, &format!("refused with {code}"), &format!("{count} (expected)"));
        }
        line(&mut table, "actions", &format!("{actions} in {:.1} s", took.as_secs_f64()));
        line(&mut table, "actions/s", &format!("{:.0}", per_second(actions, took)));
        line(&mut table, "requests", &self.requests.len().to_string());
        line(&mut table, "request p50 / p99", &percentiles(&mut self.requests));
        if !self.rollups.is_empty() {
            line(&mut table, "completion → rollup", &percentiles(&mut self.rollups));
        }
        for (status, count) in &self.statuses {
            line(&mut table, &format!("answered with {status}"), &count.to_string());
        }
        line(&mut table, "errors", &self.errors().to_string());
        for (kind, (count, first)) in &self.errors {
            line(&mut table, &format!("  {kind}"), &format!("{count}, first: {first}"));
        }
        table
    }
}

fn line(table: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(table, "  {name:<28} {value}");
}

#[expect(clippy::cast_precision_loss, reason = "an approximate figure")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(0.001)
}

fn percentiles(times: &mut [Duration]) -> String {
    if times.is_empty() {
        return "not measured".to_owned();
    }
    times.sort_unstable();
    let ms = |percent| percentile(times, percent).as_secs_f64() * 1000.0;
    format!("{:.1} / {:.1} ms", ms(50), ms(99))
}

/// The nearest-rank percentile: the smallest time that `percent` of all times do not exceed. `sorted` must not be empty.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentiles(&mut []), "not measured");
    }

    #[test]
    fn sums_keep_the_first_error() {
        let mut all = Stats::default();
        for name in ["a", "b"] {
            let mut one = Stats::default();
            one.error("500".to_owned(), || name.to_owned());
            one.error("500".to_owned(), || "later".to_owned());
            one.action("like");
            all.add(one);
        }
        assert_eq!(all.errors(), 4);
        let table = all.table(Duration::from_secs(2));
        assert!(table.contains("4, first: a") && table.contains("actions/s                    1"), "{table}");
    }
}
