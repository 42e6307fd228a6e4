//! What an import would lose: tables and columns that have no place here, types that cannot be read, and rows.

use super::shape::{Kind, table_named};
use super::source::{Source, SourceTable};
use crate::Result;

/// Something of the old database that an import would not carry over, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The table.
    pub table: String,
    /// The column; `None` if it is about the whole table.
    pub column: Option<String>,
    /// What is lost and why.
    pub what: String,
}

/// Says what the tables and columns lose. What becomes of the rows is in the report of a dry run.
pub async fn check(source: &mut Source) -> Result<Vec<Loss>> {
    let tables: Vec<SourceTable> = source.tables().to_vec();
    let mut losses = Vec::new();
    for table in &tables {
        columns(source, table, &mut losses).await?;
    }
    unread(source, &mut losses).await?;
    Ok(losses)
}

/// A remark for each table with times that have no zone: they count as UTC, and the values do not show whether that is right.
pub fn times_without_zone(source: &Source) -> Vec<(String, Vec<String>)> {
    let known = source.tables().iter().filter_map(|table| Some((table, table_named(&table.name)?)));
    let columns = known.map(|(table, known)| {
        let is_time = |name: &str| known.columns.iter().any(|it| it.name == name && it.kind == Kind::Time);
        let zoneless = table.columns.iter().filter(|it| it.has_no_zone() && is_time(&it.name));
        (table.name.clone(), zoneless.map(|it| it.name.clone()).collect::<Vec<_>>())
    });
    columns.filter(|(_, columns)| !columns.is_empty()).collect()
}

/// Names what looks like a table of the platform and is not read.
async fn unread(source: &mut Source, losses: &mut Vec<Loss>) -> Result<()> {
    for it in source.unread().to_vec() {
        if !source.may_have_rows(&it).await? {
            continue;
        }
        let only = if it.is_view() { "tables" } else { "those" };
        let what = format!("this {} is not read: only {only} of the schema {} are", it.what(), source.schema());
        losses.push(Loss { table: format!("{}.{}", it.schema, it.name), column: None, what });
    }
    Ok(())
}

async fn columns(source: &mut Source, table: &SourceTable, losses: &mut Vec<Loss>) -> Result<()> {
    let Some(known) = table_named(&table.name) else { return Ok(()) };
    let mut in_doubt: Vec<(&str, String)> = Vec::new();
    for column in &table.columns {
        match known.columns.iter().find(|it| it.name == column.name) {
            None => in_doubt.push((&column.name, "the column is not known".to_owned())),
            Some(it) if !it.is_kept => in_doubt.push((&column.name, "the column has no place here".to_owned())),
            Some(it) if !it.kind.reads(&column.category, &column.kind) => {
                in_doubt.push((&column.name, format!("the type {} is not expected and may not be read", column.kind)));
            }
            Some(_) => {}
        }
    }
    let names: Vec<&str> = in_doubt.iter().map(|(name, _)| *name).collect();
    let filled = source.filled(&table.name, &names).await?;
    for ((column, why), filled) in in_doubt.into_iter().zip(filled) {
        // A column that is empty everywhere loses nothing.
        if filled > 0 {
            let what = format!("{filled} rows have a value: {why}");
            losses.push(Loss { table: table.name.clone(), column: Some(column.to_owned()), what });
        }
    }
    Ok(())
}
