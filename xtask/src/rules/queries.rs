//! How statements take a part of many rows.

use std::iter;

/// The shape that is not allowed, and what is written instead.
const ADVICE: &str = "reads a batch by `IN (SELECT … LIMIT …)`, which is a join, and may read the batch again for each of its rows: \
                      write `= ANY (ARRAY(SELECT … LIMIT …))`";

/// Names the statements of a file that read a batch in a join.
pub(super) fn findings(file: &str, text: &str) -> Vec<String> {
    let batches = subqueries(text).filter(|(_, query)| query.contains(" LIMIT "));
    batches.map(|(at, _)| format!("{file}:{}: {ADVICE}", text[..at].matches('\n').count() + 1)).collect()
}

/// What is in the parentheses of each `IN (SELECT …)`, on one line, and where it begins.
fn subqueries(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut from = 0;
    let begins = iter::from_fn(move || {
        let at = from + text[from..].find(" IN (")?;
        from = at + 1;
        Some(at)
    });
    begins.filter_map(|at| {
        let inner = &text[at + " IN (".len()..];
        let mut open = 1;
        let end = inner.find(|letter| {
            open += i32::from(letter == '(') - i32::from(letter == ')');
            open == 0
        })?;
        let query = inner[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        query.starts_with("SELECT ").then_some((at, query))
    })
}

#[cfg(test)]
mod tests {
    use super::findings;

    #[test]
    fn batches_that_are_joined_are_found() {
        for (sql, lines) in [
            ("DELETE FROM a WHERE id IN (SELECT id FROM a WHERE f(x) ORDER BY id LIMIT 10)", &[1][..]),
            (
                "UPDATE a SET b = 1\nWHERE c IN (1, 2) AND id IN (\n SELECT id FROM a\n LIMIT $1 FOR UPDATE SKIP LOCKED)",
                &[2],
            ),
            ("DELETE FROM a WHERE id = ANY (ARRAY(SELECT id FROM a LIMIT 10))", &[]),
            ("SELECT FROM a WHERE id IN (SELECT id FROM b) ORDER BY id LIMIT 10", &[]),
        ] {
            let found: Vec<String> = findings("f.rs", sql);
            assert_eq!(found.len(), lines.len(), "{sql}: {found:?}");
            for (finding, line) in found.iter().zip(lines) {
                assert!(finding.starts_with(&format!("f.rs:{line}: ")), "{finding}");
            }
        }
    }
}
