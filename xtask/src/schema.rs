//! `docs/schema.sql`: the schema as it is, read back from a freshly migrated database.
//!
//! It is what `pg_dump` says, in another order and without what depends on the day or the version of Postgres: each table
//! comes with its constraints, indexes and triggers.

use std::collections::BTreeMap;
use std::path::Path;

use crate::steps::{Failure, read, with_postgres};

const COMMITTED: &str = "docs/schema.sql";

/// Without the partitions of the activity log, which are named after months.
const DUMP: &str = r#"exec pg_dump --schema-only --no-owner --no-privileges --exclude-table='public.activity_log_*' \
    --exclude-table='*._sqlx_migrations' "$DATABASE_URL""#;

const HEADER: &str = "\
-- The schema, for reading; the reasons are in the migrations. Written by `cargo xtask regen` from a freshly migrated database.
-- Not shown: the partitions of activity_log, and what apalis has besides its jobs table.
";

/// Rewrites `docs/schema.sql`.
pub(crate) fn write() -> Result<(), Failure> {
    std::fs::write(COMMITTED, current()?).map_err(|error| Failure::new(format!("{COMMITTED}: {error}")))
}

/// Fails when `docs/schema.sql` is not what a freshly migrated database says.
pub(crate) fn check() -> Result<(), Failure> {
    if read(Path::new(COMMITTED))? == current()? {
        return Ok(());
    }
    Err(Failure::new(format!("{COMMITTED} is not what the migrations make: run `cargo xtask regen` and commit it")))
}

fn current() -> Result<String, Failure> {
    let dump = with_postgres(&["sh", "-c", DUMP]).output()?;
    let dump = String::from_utf8(dump).map_err(|error| Failure::new(format!("pg_dump: {error}")))?;
    Ok(arranged(&dump))
}

/// One thing in the dump.
struct Block<'a> {
    kind: &'a str,
    schema: &'a str,
    sql: String,
}

impl<'a> Block<'a> {
    /// Of `-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: -`, without the beginning, and what follows.
    fn parse(text: &'a str) -> Option<Self> {
        let (header, sql) = text.split_once('\n')?;
        let (_, rest) = header.split_once("; Type: ")?;
        let (kind, rest) = rest.split_once("; Schema: ")?;
        let (schema, _) = rest.split_once("; Owner:")?;
        let setting = |line: &&str| !["SET ", "--", "\\"].iter().any(|start| line.starts_with(start));
        let sql = sql.lines().filter(setting).collect::<Vec<_>>().join("\n").trim().to_owned();
        Some(Self { kind, schema, sql })
    }

    /// The table that it makes or belongs to.
    fn table(&self) -> Option<&str> {
        let name = match self.kind {
            "TABLE" => self.sql.split_once("TABLE ")?.1,
            "CONSTRAINT" | "FK CONSTRAINT" | "DEFAULT" | "SEQUENCE" => {
                self.sql.split_once("ALTER TABLE ")?.1.trim_start_matches("ONLY ")
            }
            "INDEX" | "TRIGGER" => self.sql.split_once(" ON ")?.1.trim_start_matches("ONLY "),
            _ => return None,
        };
        name.split_whitespace().next()
    }

    /// Ours, or of the table of apalis that our queries read and our indexes are on.
    fn is_shown(&self) -> bool {
        self.schema == "public" || self.table() == Some("apalis.jobs")
    }
}

fn arranged(dump: &str) -> String {
    let (mut others, mut views) = (Vec::new(), Vec::new());
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for block in dump.split("\n--\n-- Name: ").filter_map(Block::parse).filter(Block::is_shown) {
        match block.table() {
            // The dump has every table before what belongs to it.
            Some(table) => tables.entry(table.to_owned()).or_default().push(block.sql),
            None if block.kind == "VIEW" => views.push(unqualified(&block.sql)),
            None => others.push(block.sql),
        }
    }
    let tables = tables.into_values().map(|parts| parts.join("\n"));
    let parts: Vec<String> = others.into_iter().chain(tables).chain(views).collect();
    format!("{HEADER}\n{}\n", parts.join("\n\n"))
}

/// Without the names of tables before their columns: some versions of Postgres write them where others do not.
fn unqualified(view: &str) -> String {
    let mut text = view.to_owned();
    for from in view.split("FROM ").skip(1) {
        let table = from.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default();
        let name = table.rsplit('.').next().unwrap_or_default();
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            for before in [" ", "("] {
                text = text.replace(&format!("{before}{name}."), before);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMPED: &str = "--
-- PostgreSQL database dump
--

SET row_security = off;

--
-- Name: users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.users (
    id uuid NOT NULL
);


--
-- Name: get_jobs(); Type: FUNCTION; Schema: apalis; Owner: -
--

CREATE FUNCTION apalis.get_jobs();


--
-- Name: slug; Type: DOMAIN; Schema: public; Owner: -
--

CREATE DOMAIN public.slug AS text;


SET default_table_access_method = heap;

--
-- Name: active; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.active AS
 SELECT users.id
   FROM public.users
  WHERE (users.id IS NOT NULL);


--
-- Name: jobs; Type: TABLE; Schema: apalis; Owner: -
--

CREATE TABLE apalis.jobs (
);


--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: jobs_held_idx; Type: INDEX; Schema: apalis; Owner: -
--

CREATE INDEX jobs_held_idx ON apalis.jobs USING btree (lock_by);


--
-- PostgreSQL database dump complete
--

\\unrestrict abc
";

    #[test]
    fn tables_come_with_what_belongs_to_them_and_nothing_of_the_version_is_left() {
        let arranged = arranged(DUMPED);
        let (_, schema) = arranged.split_once("\n\n").unwrap();
        assert_eq!(
            schema,
            "CREATE DOMAIN public.slug AS text;

CREATE TABLE apalis.jobs (
);
CREATE INDEX jobs_held_idx ON apalis.jobs USING btree (lock_by);

CREATE TABLE public.users (
    id uuid NOT NULL
);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE VIEW public.active AS
 SELECT id
   FROM public.users
  WHERE (id IS NOT NULL);
"
        );
    }
}
