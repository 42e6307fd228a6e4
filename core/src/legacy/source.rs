//! Reads the old database: nothing is written to it, and everything comes from one moment.
//!
//! A first connection exports its snapshot, and holds no lock. Each table is read on a second one, in a transaction of its own that
//! uses this snapshot, so the lock of a table is gone when the table has been read.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use super::row::Row;
use super::shape::{Table, table_named};
use crate::db::DatabaseUrl;
use crate::{Error, Result};

/// How many rows are read, mapped and written at a time.
const CHUNK: usize = 500;

/// How many bytes of rows are read before they are mapped and written, and about how many are fetched at a time: memory must not
/// follow the size of what people have written.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// How long a connection may take: a host that drops packets would be waited for much longer.
const CONNECTING: Duration = Duration::from_secs(10);

/// What every transaction needs. The options of the connections say the same, but a pooler may drop those.
const SETTINGS: &str = "SET LOCAL row_security = off; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO';
    SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// A column of a table, and its type as Postgres calls it.
#[derive(Clone, Debug)]
pub struct SourceColumn {
    /// The name.
    pub name: String,
    /// The type, such as `character varying(255)`.
    pub kind: String,
    /// The category of the type (`typcategory`).
    pub(super) category: String,
    /// Whether the type is `numeric`, whose values may have more digits than a number of JSON keeps here.
    is_numeric: bool,
}

impl SourceColumn {
    /// Whether its values are times that do not say in which zone they are.
    pub(super) fn has_no_zone(&self) -> bool {
        self.kind.starts_with("timestamp") && self.kind.ends_with("without time zone")
    }
}

/// A table that is there.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// The name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<SourceColumn>,
}

/// Something that looks like a table and is not read: it is in another schema, or it is a view.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    pub(super) schema: String,
    pub(super) name: String,
    /// The kind of relation (`relkind`).
    relkind: String,
}

impl Unread {
    /// What it is, for people.
    pub(super) fn what(&self) -> &'static str {
        match self.relkind.as_str() {
            "v" => "view",
            "m" => "materialized view",
            "f" => "foreign table",
            _ => "table",
        }
    }

    /// Whether it shows rows that are elsewhere.
    pub(super) fn is_view(&self) -> bool {
        matches!(self.relkind.as_str(), "v" | "m")
    }
}

impl SourceTable {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|it| it.name == column)
    }
}

/// The old database.
pub struct Source {
    /// Keeps the snapshot.
    keeper: PgConnection,
    reader: PgConnection,
    snapshot: String,
    tables: Vec<SourceTable>,
    /// The schema that the tables are in.
    schema: String,
    unread: Vec<Unread>,
    /// The name of the table that is being read.
    reading: String,
    /// How many of its rows are fetched at a time; 0 if all have been read.
    step: usize,
}

impl Source {
    /// Connects, takes the snapshot, and looks at which tables there are.
    pub async fn open(url: &str) -> Result<Self> {
        let url = DatabaseUrl::parse(url).map_err(|fault| Error::message(format!("the URL {fault}")))?;
        let [host] = &url.hosts[..] else {
            return Err(Error::message("the URL names several hosts: name the one to read from"));
        };
        let options = host.clone().application_name("cairn import-legacy").options([
            ("default_transaction_read_only", "on"),
            ("timezone", "UTC"),
            ("datestyle", "ISO"),
            ("lock_timeout", "10s"),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
            ("jit", "off"),
            // Rows that a policy hides would be missing without a word; with this, reading them is an error.
            ("row_security", "off"),
        ]);
        let (mut keeper, reader) = (connect(&options).await?, connect(&options).await?);
        keeper.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        keeper.execute(SETTINGS).await?;
        let snapshot =
            sqlx::query_scalar("SELECT pg_export_snapshot()").persistent(false).fetch_one(&mut keeper).await?;
        let (tables, unread) = (tables(&mut keeper).await?, unread(&mut keeper).await?);
        let schema: Option<String> =
            sqlx::query_scalar("SELECT current_schema()::text").persistent(false).fetch_one(&mut keeper).await?;
        let schema = schema.unwrap_or_default();
        Ok(Self { keeper, reader, snapshot, tables, schema, unread, reading: String::new(), step: 0 })
    }

    /// The tables of the schema that the connection finds first, in the order of their names.
    pub fn tables(&self) -> &[SourceTable] {
        &self.tables
    }

    /// The schema that the tables are in.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// What looks like a table and is not read.
    pub(super) fn unread(&self) -> &[Unread] {
        &self.unread
    }

    /// Whether there may be rows in something that is not read. Only of tables is this looked at.
    pub(super) async fn may_have_rows(&mut self, it: &Unread) -> Result<bool> {
        if !matches!(it.relkind.as_str(), "r" | "p") {
            return Ok(true);
        }
        self.begin().await?;
        let query = format!("SELECT EXISTS (SELECT FROM {}.{})", quoted(&it.schema), quoted(&it.name));
        let found = sqlx::query_scalar(AssertSqlSafe(query)).persistent(false).fetch_one(&mut self.reader).await;
        self.end().await?;
        // One that the role may not read may have rows.
        Ok(found.unwrap_or(true))
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&SourceTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether this is a database of Cairn, whose tables have the same names and mean something else.
    pub fn is_of_cairn(&self) -> bool {
        ["legacy_ids", "progress_dirty"].iter().any(|table| self.table(table).is_some())
    }

    /// How many rows of a table have a value in each of these columns.
    pub async fn filled(&mut self, table: &str, columns: &[&str]) -> Result<Vec<i64>> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let counts = columns.iter().map(|column| format!("count({})", quoted(column))).collect::<Vec<_>>().join(", ");
        self.count_filled(table, &counts).await.map_err(|error| unreadable(table, &error))
    }

    async fn count_filled(&mut self, table: &str, counts: &str) -> sqlx::Result<Vec<i64>> {
        self.begin().await?;
        let query = format!("SELECT ARRAY[{counts}]::bigint[] FROM {}", quoted(table));
        let filled = sqlx::query_scalar(AssertSqlSafe(query)).persistent(false).fetch_one(&mut self.reader).await?;
        self.end().await?;
        Ok(filled)
    }

    /// Begins to read a table. Returns how many rows it has. [`Source::next`] returns them, and then the next table may be read.
    pub(super) async fn start(&mut self, table: &SourceTable, known: Option<&Table>) -> Result<u64> {
        self.reading.clone_from(&table.name);
        self.declare(table, known).await.map_err(|error| unreadable(&table.name, &error))
    }

    async fn declare(&mut self, table: &SourceTable, known: Option<&Table>) -> sqlx::Result<u64> {
        let order: Vec<&str> = known
            .map(|known| known.order.iter().filter(|(column, _)| table.has(column)).map(|(_, order)| *order).collect())
            .unwrap_or_default();
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        let name = quoted(&table.name);
        self.begin().await?;
        let size = if known.is_some() { size(table) } else { "0".to_owned() };
        let large = CHUNK_BYTES / CHUNK;
        let count = format!(
            "SELECT count(*), coalesce(max(size), 0)::bigint, coalesce(sum(size) FILTER (WHERE size > {large}), 0)::bigint
             FROM (SELECT {size} AS size FROM {name} t) sizes"
        );
        let count = sqlx::query_as::<_, (i64, i64, i64)>(AssertSqlSafe(count)).persistent(false);
        let (count, largest, all_large) = count.fetch_one(&mut self.reader).await?;
        self.step = step(largest, all_large);
        let row = if known.is_some() { whole(table) } else { names(table) };
        let cursor = format!("DECLARE legacy NO SCROLL CURSOR FOR SELECT {row}::text FROM {name} t{order}");
        self.reader.execute(AssertSqlSafe(cursor)).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The next rows; empty after the last.
    pub(super) async fn next(&mut self) -> Result<Vec<Row>> {
        let rows = self.fetch().await.map_err(|error| unreadable(&self.reading, &error))?;
        Ok(rows.iter().map(|row| Row::read(row)).collect())
    }

    async fn fetch(&mut self) -> sqlx::Result<Vec<String>> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while self.step > 0 && rows.len() < CHUNK && bytes < CHUNK_BYTES {
            let fetch = format!("FETCH {} FROM legacy", self.step);
            let fetch = sqlx::query_scalar::<_, String>(AssertSqlSafe(fetch)).persistent(false);
            let fetched = fetch.fetch_all(&mut self.reader).await?;
            if fetched.is_empty() {
                self.step = 0;
                self.end().await?;
            }
            bytes += fetched.iter().map(String::len).sum::<usize>();
            rows.extend(fetched);
        }
        Ok(rows)
    }

    /// Closes the connections.
    pub async fn close(self) -> Result<()> {
        self.reader.close().await?;
        Ok(self.keeper.close().await?)
    }

    async fn begin(&mut self) -> sqlx::Result<()> {
        self.reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let snapshot = format!("SET TRANSACTION SNAPSHOT '{}'", self.snapshot.replace('\'', "''"));
        self.reader.execute(AssertSqlSafe(snapshot)).await?;
        self.reader.execute(SETTINGS).await?;
        Ok(())
    }

    async fn end(&mut self) -> sqlx::Result<()> {
        self.reader.execute("ROLLBACK").await?;
        Ok(())
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let connecting = tokio::time::timeout(CONNECTING, options.connect());
    let connected = connecting.await.map_err(|_| Error::too_slow("connecting to CAIRN_LEGACY_URL", CONNECTING))?;
    Ok(connected?)
}

/// A failure to read a table. Without its name and its database it would look like one of Cairn's own tables.
fn unreadable(table: &str, error: &sqlx::Error) -> Error {
    Error::message(format!("the table {table} in the database of CAIRN_LEGACY_URL cannot be read: {error}"))
}

/// What names a row of a table that is not carried over, as JSON: its id, or the ids of what it connects, or else a number. Nothing
/// else is read, because nobody needs it here.
fn names(table: &SourceTable) -> String {
    let columns = table.columns.iter().map(|column| column.name.as_str());
    let ids: Vec<&str> = columns.filter(|name| name.ends_with("_id")).take(20).collect();
    let ids = if table.has("id") { vec!["id"] } else { ids };
    if ids.len() < 2 && !table.has("id") {
        return "json_build_object('id', 'row ' || row_number() OVER ())".to_owned();
    }
    let pairs: Vec<String> =
        ids.iter().map(|name| format!("'{}', t.{}::text", name.replace('\'', "''"), quoted(name))).collect();
    format!("json_build_object({})", pairs.join(", "))
}

/// A row as JSON. Numbers that JSON would not keep to the last digit are text, written alike whatever the scale of their column is:
/// two ids must not become one, and a reference must be equal to what it refers to.
fn whole(table: &SourceTable) -> String {
    if !table.columns.iter().any(|column| column.is_numeric) {
        return "to_json(t)".to_owned();
    }
    let values = table.columns.iter().map(|column| {
        let name = quoted(&column.name);
        if column.is_numeric {
            format!("CASE WHEN t.{name} = trunc(t.{name}) THEN trunc(t.{name}) ELSE t.{name} END::text AS {name}")
        } else {
            format!("t.{name}")
        }
    });
    format!("(SELECT to_json(r) FROM (SELECT {}) r)", values.collect::<Vec<_>>().join(", "))
}

/// How many rows are fetched at a time, by the bytes of the largest and of all large ones. A few large rows do not slow down the rest.
fn step(largest: i64, all_large: i64) -> usize {
    let [largest, all_large] = [largest, all_large].map(|bytes| usize::try_from(bytes).unwrap_or_default());
    if all_large <= CHUNK_BYTES { CHUNK } else { (CHUNK_BYTES / largest.max(1)).clamp(1, CHUNK) }
}

/// About how many bytes a row has. Of what may be long, that is what it has as text, however it is stored.
fn size(table: &SourceTable) -> String {
    let sizes = table.columns.iter().map(|column| {
        let name = quoted(&column.name);
        if ["S", "U", "A"].contains(&column.category.as_str()) {
            format!("coalesce(octet_length(t.{name}::text), 0)")
        } else {
            format!("coalesce(pg_column_size(t.{name}), 0)")
        }
    });
    std::iter::once("0::bigint".to_owned()).chain(sizes).collect::<Vec<_>>().join(" + ")
}

async fn tables(connection: &mut PgConnection) -> Result<Vec<SourceTable>> {
    let rows: Vec<(String, String, String, String, bool)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typcategory::text,
             'numeric'::regtype IN (t.oid, t.typbasetype)
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_type t ON t.oid = a.atttypid
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
         ORDER BY c.relname, a.attnum",
    )
    .persistent(false)
    .fetch_all(connection)
    .await?;
    let mut tables: Vec<SourceTable> = Vec::new();
    for (table, name, kind, category, is_numeric) in rows {
        if tables.last().is_none_or(|last| last.name != table) {
            tables.push(SourceTable { name: table, columns: Vec::new() });
        }
        if let Some(last) = tables.last_mut() {
            last.columns.push(SourceColumn { name, kind, category, is_numeric });
        }
    }
    Ok(tables)
}

/// What looks like a table of the platform and is not read: all tables of other schemas, and views that have the name of a table that
/// would be carried over. The rows of partitions and of tables that inherit are those of their parents, too.
async fn unread(connection: &mut PgConnection) -> Result<Vec<Unread>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text, c.relkind::text
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
           AND (c.relkind IN ('v', 'm') OR (c.relkind IN ('r', 'p', 'f') AND n.nspname <> coalesce(current_schema(), '')))
           AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
         ORDER BY n.nspname, c.relname",
    )
    .persistent(false)
    .fetch_all(connection)
    .await?;
    let all = rows.into_iter().map(|(schema, name, relkind)| Unread { schema, name, relkind });
    Ok(all.filter(|it| !it.is_view() || table_named(&it.name).is_some()).collect())
}

/// A name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_large_rows_do_not_slow_down_the_rest() {
        let mb = |n: i64| n * 1024 * 1024;
        assert_eq!(step(0, 0), CHUNK);
        assert_eq!(step(mb(5), mb(5)), CHUNK);
        assert_eq!(step(mb(5), mb(500)), 3);
        assert_eq!(step(mb(50), mb(50)), 1);
    }
}
