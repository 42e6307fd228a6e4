//! The rules in `deploy/alerts.yml`, and as much of their language as they need: metrics with conditions on labels, `rate` over a range, `sum`,
//! `min` and `max` with or without `by`, the division of what has the same labels, and the comparison with a number.
//!
//! `rate` is the increase between two scrapes, whatever the range: the range of the rule is how long Prometheus looks back.

use std::collections::BTreeMap;

const RULES: &str = include_str!("../../../../deploy/alerts.yml");

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) expression: String,
    /// For how long the expression must hold, in the notation of Prometheus.
    pub(crate) lasting: String,
}

/// All rules of the file.
pub(crate) fn all() -> Vec<Rule> {
    let value = |line: &str, key: &str| line.trim().strip_prefix(key).map(|value| value.trim().to_owned());
    let lines: Vec<&str> = RULES.lines().collect();
    let rules = lines.iter().enumerate().filter_map(|(at, line)| {
        let name = value(line, "- alert:")?;
        let (expression, lasting) = (value(lines[at + 1], "expr:").unwrap(), value(lines[at + 2], "for:").unwrap());
        Some(Rule { name, expression, lasting })
    });
    rules.collect()
}

pub(crate) fn named(name: &str) -> Rule {
    all().into_iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("there is no alarm {name}"))
}

type Labels = BTreeMap<String, String>;

/// What a process answered at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(Vec<(String, Labels, f64)>);

impl Scrape {
    /// Adds the metrics of a process.
    pub(crate) fn add(&mut self, instance: &str, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let mut labels: Labels = conditions(labels).into_iter().map(|(name, _, value)| (name, value)).collect();
            labels.insert("instance".to_owned(), instance.to_owned());
            self.0.push((name.to_owned(), labels, value.parse().unwrap()));
        }
    }

    /// All samples, with the names of their metrics.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, _, value)| (name.as_str(), *value))
    }
}

/// `a="b",c=~"d"}` as names, operators and values.
fn conditions(text: &str) -> Vec<(String, String, String)> {
    let mut rest = text.trim_end_matches('}');
    let mut found = Vec::new();
    while let Some(operator) = rest.find(['=', '!']) {
        let name = rest[..operator].trim_start_matches(',').trim().to_owned();
        let quote = rest.find('"').unwrap();
        let end = quote + 1 + rest[quote + 1..].find('"').unwrap();
        found.push((name, rest[operator..quote].to_owned(), rest[quote + 1..end].to_owned()));
        rest = &rest[end + 1..];
    }
    found
}

impl Rule {
    /// Whether the condition holds after what happened between two scrapes.
    pub(crate) fn holds(&self, before: &Scrape, after: &Scrape) -> bool {
        self.exceeded(before, after, None)
    }

    /// The same with a smaller threshold, for what would take minutes.
    pub(crate) fn holds_beyond(&self, threshold: f64, before: &Scrape, after: &Scrape) -> bool {
        self.exceeded(before, after, Some(threshold))
    }

    fn exceeded(&self, before: &Scrape, after: &Scrape, threshold: Option<f64>) -> bool {
        let (expression, operator, stated) = [" > ", " >= ", " == "]
            .into_iter()
            .find_map(|operator| Some((self.expression.rsplit_once(operator)?, operator)))
            .map(|((expression, number), operator)| (expression, operator, number.parse::<f64>().unwrap()))
            .unwrap();
        let threshold = threshold.unwrap_or(stated);
        evaluate(expression, before, after).values().any(|value| match operator {
            " > " => *value > threshold,
            " >= " => *value >= threshold,
            _ => (*value - threshold).abs() < f64::EPSILON,
        })
    }
}

/// The value for each set of labels.
fn evaluate(expression: &str, before: &Scrape, after: &Scrape) -> BTreeMap<Labels, f64> {
    let expression = expression.trim();
    if let Some((numerator, denominator)) = split_division(expression) {
        let (mut values, divisors) = (evaluate(numerator, before, after), evaluate(denominator, before, after));
        values.retain(|labels, value| {
            divisors.get(labels).is_some_and(|divisor| {
                *value /= divisor;
                value.is_finite()
            })
        });
        return values;
    }
    for (name, fold) in [("sum", (|a, b| a + b) as fn(f64, f64) -> f64), ("max", f64::max), ("min", f64::min)] {
        if let Some(rest) =
            expression.strip_prefix(name).map(str::trim_start).filter(|rest| rest.starts_with(['b', '(']))
        {
            let (by, rest) = match rest.strip_prefix("by") {
                Some(rest) => rest.trim_start().trim_start_matches('(').split_once(')').unwrap(),
                None => ("", rest),
            };
            let by: Vec<&str> = by.split(',').map(str::trim).collect();
            let mut groups = BTreeMap::new();
            for (mut labels, value) in evaluate(within(rest), before, after) {
                labels.retain(|label, _| by.contains(&label.as_str()));
                groups.entry(labels).and_modify(|old| *old = fold(*old, value)).or_insert(value);
            }
            return groups;
        }
    }
    if let Some(rest) = expression.strip_prefix("rate") {
        let (selector, _) = within(rest).rsplit_once('[').unwrap();
        let (old, mut new) = (select(selector, before), select(selector, after));
        for (labels, value) in &mut new {
            *value = (*value - old.get(labels).copied().unwrap_or(0.0)).max(0.0);
        }
        return new;
    }
    select(expression, after)
}

/// What is between the outer parentheses.
fn within(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or_else(|| panic!("no parentheses: {text}"))
}

/// Both sides of a division outside of parentheses.
fn split_division(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            '/' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn select(selector: &str, scrape: &Scrape) -> BTreeMap<Labels, f64> {
    let (metric, demanded) = selector.trim().split_once('{').unwrap_or((selector.trim(), "}"));
    let demanded = conditions(demanded);
    let fits = |labels: &Labels| {
        demanded.iter().all(|(name, operator, value)| {
            let actual = labels.get(name).map_or("", String::as_str);
            match operator.as_str() {
                "=" => actual == value,
                "!=" => actual != value,
                // Each dot stands for a character, which is all that the rules use.
                "=~" => {
                    actual.len() == value.len() && value.chars().zip(actual.chars()).all(|(v, a)| v == '.' || v == a)
                }
                other => panic!("the operator {other} is not known"),
            }
        })
    };
    let samples = scrape.0.iter().filter(|(name, labels, _)| name == metric && fits(labels));
    samples.map(|(_, labels, value)| (labels.clone(), *value)).collect()
}

#[test]
fn rules_are_evaluated_as_prometheus_does() {
    let scrape = |text: &str| {
        let mut scrape = Scrape::default();
        scrape.add("one", text);
        scrape
    };
    let (before, after) = (
        scrape("r{s=\"200\"} 10\nr{s=\"500\"} 1\n"),
        scrape("r{s=\"200\"} 28\nr{s=\"500\"} 3\nf 9\nm 10\ng{q=\"a\"} 0\n"),
    );
    for (expression, expected) in [
        ("sum(rate(r{s=~\"5..\"}[5m])) / sum(rate(r[5m])) > 0.09", true),
        ("sum(rate(r{s=~\"5..\"}[5m])) / sum(rate(r[5m])) > 0.11", false),
        ("max by (instance) (f / m) > 0.8", true),
        ("max by (q) (g{q!=\"b\"}) == 0", true),
        ("max by (q) (g{q=\"b\"}) == 0", false),
        ("min(missing) == 0", false),
    ] {
        let rule = Rule { name: String::new(), expression: expression.to_owned(), lasting: String::new() };
        assert_eq!(rule.holds(&before, &after), expected, "{expression}");
    }
}
