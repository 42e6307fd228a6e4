//! What a migration may do while the previous release runs and users wait: `migrations/README.md` says why.

use std::collections::BTreeSet;

/// The first migration that is checked. Before the first release there were neither large tables nor a previous release.
const FIRST: u32 = 150;

/// Comes before a statement that is fine in spite of its looks, and says why.
const ALLOWED: &str = "-- allowed:";

/// Defaults that differ from row to row, so that adding the column rewrites the table.
const VOLATILE: [&str; 5] = ["GEN_RANDOM_UUID(", "RANDOM(", "CLOCK_TIMESTAMP(", "NEXTVAL(", "STATEMENT_TIMESTAMP("];

/// What adds a constraint, with a name or without.
const CONSTRAINTS: [&str; 6] =
    [" ADD CONSTRAINT ", " ADD CHECK", " ADD UNIQUE", " ADD FOREIGN KEY", " ADD PRIMARY KEY", " ADD EXCLUDE"];

/// What statements name, besides tables. Triggers are dropped to be made again, with other columns.
const USED_BY_NAME: [&str; 8] =
    ["FUNCTION", "PROCEDURE", "ROUTINE", "VIEW", "MATERIALIZED VIEW", "TYPE", "DOMAIN", "SEQUENCE"];

/// The findings in the migrations, by file and text.
pub(super) fn findings<'a>(migrations: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let number = |file: &str| file.strip_prefix("migrations/")?.split('_').next()?.parse::<u32>().ok();
    let checked = migrations.filter(|(file, _)| number(file).is_some_and(|number| number >= FIRST));
    checked.flat_map(|(file, text)| in_file(text).into_iter().map(move |what| format!("{file}: {what}"))).collect()
}

fn in_file(text: &str) -> Vec<String> {
    let statements = statements(text);
    let created: BTreeSet<&str> = statements.iter().filter_map(|(sql, _)| table_after(sql, "CREATE TABLE")).collect();
    let has_lock_timeout = statements.iter().any(|(sql, _)| sql.starts_with("SET LOCAL LOCK_TIMEOUT"));
    let mut findings = Vec::new();
    for (sql, is_allowed) in &statements {
        if *is_allowed {
            continue;
        }
        if let Some(fault) = fault(sql, &created, has_lock_timeout) {
            let beginning: String = sql.chars().take(60).collect();
            findings.push(format!("`{beginning}`: {fault}; or write `{ALLOWED} why` above it"));
        }
    }
    findings
}

fn fault(sql: &str, created: &BTreeSet<&str>, has_lock_timeout: bool) -> Option<&'static str> {
    let is_new = |table: Option<&str>| table.is_some_and(|table| created.contains(table));
    if let Some(table) = table_after(sql, "ALTER TABLE") {
        return if is_new(Some(table)) { None } else { fault_of_alter(sql, has_lock_timeout) };
    }
    if sql.starts_with("CREATE INDEX") || sql.starts_with("CREATE UNIQUE INDEX") {
        let table =
            sql.split(" ON ").nth(1).map(|rest| rest.strip_prefix("ONLY ").unwrap_or(rest)).and_then(first_name);
        let blocks = !sql.contains(" CONCURRENTLY ") && !sql.contains(" ON ONLY ") && !is_new(table);
        return blocks.then_some("it blocks writes until it is done: create it CONCURRENTLY, in a file of its own");
    }
    if sql.starts_with("DROP TABLE") && !is_new(table_after(sql, "DROP TABLE")) {
        return Some("the previous release may use it: stop using it in one release, and drop it in the next");
    }
    if USED_BY_NAME.iter().any(|kind| sql.starts_with(&format!("DROP {kind} "))) {
        return Some("the previous release may use it: stop using it in one release, and drop it in the next");
    }
    if sql.starts_with("DROP INDEX") && !sql.contains(" CONCURRENTLY ") {
        return Some(
            "it waits for everybody who uses the table, and everybody else for it: drop it CONCURRENTLY, in a file of its own",
        );
    }
    if sql.starts_with("ALTER ") && (sql.contains(" RENAME TO ") || sql.contains(" RENAME VALUE ")) {
        return Some("the previous release knows the old name: expand in one release, and contract in the next");
    }
    if sql.starts_with("LOCK TABLE") || sql.starts_with("LOCK ") {
        return Some("everybody waits for it until the migration is done");
    }
    let is_rewrite =
        ["TRUNCATE ", "CLUSTER ", "VACUUM FULL", "VACUUM (FULL"].iter().any(|command| sql.starts_with(command));
    let is_refresh = sql.starts_with("REINDEX ") || sql.starts_with("REFRESH MATERIALIZED VIEW ");
    if is_rewrite || is_refresh && !sql.contains(" CONCURRENTLY ") {
        return Some("nobody can use the table until it is done");
    }
    if sql.starts_with("DO ") {
        return Some("what it does is not checked: write statements, or a function that is called");
    }
    let written = table_after(sql, "UPDATE").or_else(|| table_after(sql, "DELETE FROM"));
    if written.is_some() && !is_new(written) {
        return Some("a migration changes few rows: have a job fill or remove them in chunks");
    }
    None
}

fn fault_of_alter(sql: &str, has_lock_timeout: bool) -> Option<&'static str> {
    let has = |part: &str| sql.contains(part);
    if has(" DROP COLUMN ") || has(" RENAME ") {
        return Some("the previous release may use it: expand in one release, and contract in the next");
    }
    if has(" TYPE ") {
        return Some("it rewrites the table: add a column, write both, and drop the old one in the next release");
    }
    if has(" SET NOT NULL") {
        return Some("it reads the whole table under its lock: validate a CHECK (... IS NOT NULL) first");
    }
    if has(" DROP DEFAULT") {
        return Some(
            "the previous release may leave the column out: write it everywhere in one release, and drop the default in the next",
        );
    }
    // Each column by itself: another one's default does not help.
    let columns = || sql.split(" ADD COLUMN ").skip(1);
    if columns().any(|column| column.contains(" NOT NULL") && !column.contains(" DEFAULT ")) {
        return Some("the previous release does not write it: give it a default, or leave it nullable");
    }
    if has(" ADD COLUMN ") && (has(" STORED") || VOLATILE.iter().any(|function| has(function))) {
        return Some("it rewrites the table: add the column empty, and have a job fill it");
    }
    if columns().any(|column| [" REFERENCES ", " UNIQUE", " PRIMARY KEY"].iter().any(|key| column.contains(key))) {
        return Some(
            "it builds an index or locks the other table: add the column first, and then the index or the key NOT VALID",
        );
    }
    if CONSTRAINTS.iter().any(|constraint| has(constraint)) && !has(" NOT VALID") && !has(" USING INDEX ") {
        return Some("it reads the whole table under its lock: add it NOT VALID, and validate it in a later migration");
    }
    if !has_lock_timeout {
        return Some("while it waits, all later requests wait behind it: begin with SET LOCAL lock_timeout = '2s'");
    }
    None
}

/// The name after a keyword that the statement begins with.
fn table_after<'a>(sql: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = sql.strip_prefix(keyword)?.strip_prefix(' ')?;
    let rest = ["IF NOT EXISTS ", "IF EXISTS ", "ONLY "]
        .iter()
        .fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    first_name(rest)
}

fn first_name(text: &str) -> Option<&str> {
    text.split([' ', '(', ',']).next().filter(|name| !name.is_empty())
}

/// Whether the body of an SQL function begins here, which ends at the next line that begins with `END`.
fn has_begun_body(sql: &str) -> bool {
    const BEGIN: &str = "BEGIN ATOMIC";
    let end = sql.len().checked_sub(BEGIN.len()).and_then(|start| sql.get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(BEGIN))
}

/// The statements in capitals and with single spaces, and whether a comment allows each. Comments, texts and the bodies of
/// functions are left out.
fn statements(text: &str) -> Vec<(String, bool)> {
    let (mut found, mut sql, mut is_allowed) = (Vec::new(), String::new(), false);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("--") {
            is_allowed |= rest.starts_with(ALLOWED);
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
            sql.push(' ');
            continue;
        }
        let quote = match character {
            '\'' => Some("'"),
            '$' => rest[1..].find('$').map(|end| &rest[..end + 2]).filter(|tag| is_tag(tag)),
            _ => None,
        };
        if let Some(quote) = quote {
            let inner = &rest[quote.len()..];
            rest = inner.split_once(quote).map_or("", |(_, rest)| rest);
            sql.push_str("''");
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if character == ';' {
            found.push((tidy(&sql), is_allowed));
            (sql, is_allowed) = (String::new(), false);
            continue;
        }
        sql.push(character);
        if has_begun_body(&sql) {
            rest = rest.split_once("\nEND").map_or("", |(_, rest)| rest);
        }
    }
    found.push((tidy(&sql), is_allowed));
    found.retain(|(sql, _)| !sql.is_empty());
    found
}

fn is_tag(tag: &str) -> bool {
    tag.trim_matches('$').chars().all(|character| character.is_alphanumeric() || character == '_')
}

fn tidy(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::{findings, in_file};

    #[test]
    fn what_blocks_rewrites_or_breaks_the_previous_release_is_found() {
        for (sql, says) in [
            ("CREATE INDEX i ON users (email);", "CONCURRENTLY"),
            ("create unique index i on users (email);", "CONCURRENTLY"),
            ("ALTER TABLE users DROP COLUMN email;", "contract"),
            ("ALTER TABLE users RENAME COLUMN a TO b;", "contract"),
            ("ALTER TABLE users ALTER COLUMN a TYPE bigint;", "rewrites"),
            ("ALTER TABLE users ALTER COLUMN a SET NOT NULL;", "CHECK"),
            ("ALTER TABLE users ADD COLUMN a int NOT NULL;", "default"),
            ("ALTER TABLE users ADD COLUMN a uuid DEFAULT gen_random_uuid();", "rewrites"),
            ("ALTER TABLE users ADD COLUMN a int GENERATED ALWAYS AS (b + 1) STORED;", "rewrites"),
            ("ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0);", "NOT VALID"),
            ("ALTER TABLE ONLY users\n    ADD COLUMN a int;", "lock_timeout"),
            ("DROP TABLE users;", "next"),
            ("DROP FUNCTION f(uuid);", "next"),
            ("DROP VIEW IF EXISTS v;", "next"),
            ("DROP TYPE user_role;", "next"),
            ("DROP INDEX i;", "CONCURRENTLY"),
            ("ALTER FUNCTION f(uuid) RENAME TO g;", "contract"),
            ("ALTER TYPE user_role RENAME VALUE 'a' TO 'b';", "contract"),
            ("ALTER TABLE users ALTER COLUMN a DROP DEFAULT;", "leave the column out"),
            ("ALTER TABLE users ADD COLUMN a int NOT NULL, ADD COLUMN b int DEFAULT 0;", "default"),
            ("DROP TABLE IF EXISTS users;", "next"),
            ("LOCK TABLE users;", "waits"),
            ("ALTER TABLE users ADD CHECK (a > 0);", "NOT VALID"),
            ("ALTER TABLE users ADD FOREIGN KEY (a) REFERENCES b (id);", "NOT VALID"),
            ("ALTER TABLE users ADD COLUMN a uuid REFERENCES b (id);", "locks the other table"),
            ("ALTER TABLE users ADD COLUMN a uuid UNIQUE;", "index"),
            ("TRUNCATE users;", "nobody"),
            ("CLUSTER users USING i;", "nobody"),
            ("VACUUM FULL users;", "nobody"),
            ("REINDEX TABLE users;", "nobody"),
            ("DO $$ BEGIN DELETE FROM users; END $$;", "not checked"),
            ("UPDATE users SET a = 1;", "chunks"),
            ("DELETE FROM users;", "chunks"),
        ] {
            let found = in_file(sql);
            assert!(found.len() == 1 && found[0].contains(says), "{sql}: {found:?}");
        }
    }

    #[test]
    fn what_is_instant_or_explained_is_not() {
        for sql in [
            "CREATE TABLE t (id uuid); CREATE INDEX i ON t (id); ALTER TABLE t ADD CONSTRAINT c CHECK (id IS NOT NULL); UPDATE t SET id = id;",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON users (email);",
            "SET LOCAL lock_timeout = '2s'; ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 0;",
            "SET LOCAL lock_timeout = '2s'; ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID;",
            "-- UPDATE users\nSELECT 'UPDATE users; DROP TABLE users';",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE users SET a = 1; DROP TABLE users; $$;",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $body$ BEGIN DELETE FROM users; END $body$;",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql\nBEGIN ATOMIC\n    DELETE FROM users;\n    UPDATE users SET a = 1;\nEND;",
            "-- no-transaction\nDROP INDEX CONCURRENTLY i;",
            "-- no-transaction\nREINDEX INDEX CONCURRENTLY i;",
            "SET LOCAL lock_timeout = '2s'; DROP TRIGGER t ON users; CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION f();",
            "-- allowed: it has one row\nUPDATE settings SET a = 1;",
        ] {
            assert!(in_file(sql).is_empty(), "{sql}: {:?}", in_file(sql));
        }
    }

    #[test]
    fn migrations_of_before_the_first_release_are_left_alone() {
        let (old, new) = (("migrations/0101_a.sql", "DROP TABLE t;"), ("migrations/9999_b.sql", "DROP TABLE t;"));
        let found = findings([old, new].into_iter());
        assert!(found.len() == 1 && found[0].starts_with("migrations/9999_b.sql: `DROP TABLE T`"), "{found:?}");
    }
}
