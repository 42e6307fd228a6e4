//! What an import would lose: tables and columns that have no place here, types that cannot be read, and rows.

use super::shape::table_named;
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
    Ok(losses)
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
