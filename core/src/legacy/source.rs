//! Reads the old database: nothing is written to it, and everything comes from one moment.
//!
//! A first connection exports its snapshot, and holds no lock. Each table is read on a second one, in a transaction of its own that
//! uses this snapshot, so the lock of a table is gone when the table has been read.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use super::row::Row;
use super::shape::Table;
use crate::db::DatabaseUrl;
use crate::{Error, Result};

/// How many rows are read, mapped and written at a time.
const CHUNK: usize = 500;

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
}

/// A table that is there.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// The name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<SourceColumn>,
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
    /// The name of the table that is being read.
    reading: String,
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
        let tables = tables(&mut keeper).await?;
        Ok(Self { keeper, reader, snapshot, tables, reading: String::new() })
    }

    /// The tables of the schema that the connection finds first, in the order of their names.
    pub fn tables(&self) -> &[SourceTable] {
        &self.tables
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
        let count = format!("SELECT count(*) FROM {name}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).persistent(false).fetch_one(&mut self.reader).await?;
        let row = if known.is_some() { "to_json(t)".to_owned() } else { names(table) };
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
        let fetch = format!("FETCH {CHUNK} FROM legacy");
        let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(fetch)).persistent(false);
        let rows = rows.fetch_all(&mut self.reader).await?;
        if rows.is_empty() {
            self.end().await?;
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
        ids.iter().map(|name| format!("'{}', t.{}", name.replace('\'', "''"), quoted(name))).collect();
    format!("json_build_object({})", pairs.join(", "))
}

async fn tables(connection: &mut PgConnection) -> Result<Vec<SourceTable>> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typcategory::text
         FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_type t ON t.oid = a.atttypid
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
         ORDER BY c.relname, a.attnum",
    )
    .persistent(false)
    .fetch_all(connection)
    .await?;
    let mut tables: Vec<SourceTable> = Vec::new();
    for (table, name, kind, category) in rows {
        if tables.last().is_none_or(|last| last.name != table) {
            tables.push(SourceTable { name: table, columns: Vec::new() });
        }
        if let Some(last) = tables.last_mut() {
            last.columns.push(SourceColumn { name, kind, category });
        }
    }
    Ok(tables)
}

/// A name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
