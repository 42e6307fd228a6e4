//! Calls every cell of the table.

use poem::http::Method;

use super::school::{School, operation};
use super::table::{Row, Who};
use crate::support::Reply;
use crate::support::statements::with_statements;

/// How many rows the lists of the schools have. As many statements have to do for the many as for the few.
const FEW: usize = 2;
const MANY: usize = 12;

/// What is written into things that not everyone may read, and who may.
const MARKS: [(&str, &[Who]); 3] = [
    ("[for admins]", &[Who::Admin]),
    ("[for the learner]", &[Who::Learner, Who::Admin]),
    ("[for mentors]", &[Who::Learner, Who::Mentor, Who::Admin]),
];

/// Asserts all cells of these rows, and the number of statements of each row.
///
/// Those who are refused call first, after which nothing may have changed. Then those call who may. Reading must not change
/// anything either, and what else they change is made as it was before the next row.
pub(super) async fn check(rows: &[Row]) {
    let (mut few, mut many) = (School::new(FEW).await, School::new(MANY).await);
    let mut faults = Vec::new();
    for row in rows {
        let mut cells = Cells { row, faults: Vec::new() };
        cells.refused(&few).await;
        cells.allowed(&few).await;
        cells.statements(&many, "many").await;
        faults.extend(cells.faults);
        if operation(row.operation).method != Method::GET {
            few.restore().await;
            many.restore().await;
        }
    }
    println!("{} cells in {} rows", rows.len() * Who::ALL.len(), rows.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The cells of a row.
struct Cells<'a> {
    row: &'a Row,
    faults: Vec<String>,
}

impl Cells<'_> {
    fn fault(&mut self, what: &str) {
        self.faults.push(format!("{} {:?}: {what}", self.row.operation, self.row.given));
    }

    /// Calls as those who are refused.
    async fn refused(&mut self, school: &School) {
        for who in Who::ALL {
            let Some(code) = self.row.refusal(who) else { continue };
            let reply = school.call(self.row, who).await.await;
            if (reply.status, reply.json["code"].as_str()) != (code.status(), Some(code.name())) {
                self.fault(&format!("{who:?} should get {}, but gets {}", code.name(), short(&reply)));
            }
            self.tells_nothing(who, &reply);
        }
        let changed = school.changed().await;
        if !changed.is_empty() {
            self.fault(&format!("a call that is refused changes {}", changed.join(", ")));
        }
    }

    /// Calls as those who may.
    async fn allowed(&mut self, school: &School) {
        self.statements(school, "few").await;
        for who in Who::ALL {
            if who != self.row.access.first() && self.row.refusal(who).is_none() {
                let reply = school.call(self.row, who).await.await;
                self.succeeds(who, &reply);
            }
        }
        if operation(self.row.operation).method == Method::GET {
            let changed = school.changed().await;
            if !changed.is_empty() {
                self.fault(&format!("reading changes {}", changed.join(", ")));
            }
        }
    }

    /// Calls as the first of those who may, and counts the statements.
    async fn statements(&mut self, school: &School, amount: &str) {
        let who = self.row.access.first();
        if self.row.refusal(who).is_some() {
            return;
        }
        let call = school.call(self.row, who).await;
        // They are read once a second, so otherwise the number of statements would depend on the time.
        school.app.app.settings.invalidate();
        let (reply, statements) = with_statements(call).await;
        self.succeeds(who, &reply);
        let expected = self.row.statements;
        if statements.len() != expected {
            let count = statements.len();
            let lines = statements.iter().map(|statement| beginning(statement)).collect::<Vec<_>>().join("\n    ");
            self.fault(&format!(
                "takes {count} statements with {amount} rows in each list, the table says {expected}:\n    {lines}"
            ));
        }
    }

    fn succeeds(&mut self, who: Who, reply: &Reply) {
        if !reply.status.is_success() {
            self.fault(&format!("{who:?} should succeed, but gets {}", short(reply)));
        }
        self.tells_nothing(who, reply);
    }

    /// Asserts that the response contains nothing that the caller may not read.
    fn tells_nothing(&mut self, who: Who, reply: &Reply) {
        if let Some(mark) = leak(who, reply) {
            self.fault(&format!("{who:?} can read what is {mark}: {}", short(reply)));
        }
    }
}

/// For whom something is that the caller can read, but may not.
pub(super) fn leak(who: Who, reply: &Reply) -> Option<&'static str> {
    let mut leaks = MARKS.iter().filter(|(mark, readers)| reply.text.contains(mark) && !readers.contains(&who));
    leaks.next().map(|(mark, _)| *mark)
}

fn short(reply: &Reply) -> String {
    format!("{} {}", reply.status, reply.text.chars().take(300).collect::<String>())
}

fn beginning(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(150).collect()
}
