//! Who may call which operation, and how many statements a call takes: a table with a row for each operation, of which every
//! cell is called.

mod check;
mod community;
mod dumps;
mod examples;
mod extremes;
mod learning;
mod library;
mod operations;
mod school;
mod strangers;
mod table;
mod tools;
mod users;

use std::collections::BTreeSet;

use self::check::check;
use self::table::Row;
use crate::support::contract;

/// The table.
const AREAS: [&[Row]; 6] = [community::ROWS, learning::ROWS, library::ROWS, operations::ROWS, tools::ROWS, users::ROWS];

#[test]
fn every_operation_has_a_row() {
    let rows: BTreeSet<String> =
        AREAS.iter().flat_map(|rows| rows.iter()).map(|row| row.operation.to_owned()).collect();
    let operations: BTreeSet<String> = contract::operations().into_iter().map(|operation| operation.id).collect();
    let missing: Vec<_> = operations.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&operations).collect();
    assert!(
        missing.is_empty(),
        "Who may call {missing:?}? Add a row to api/tests/it/access/<area>.rs, as docs/adding-an-operation.md describes."
    );
    assert!(unknown.is_empty(), "There are no operations {unknown:?}. Remove their rows from api/tests/it/access/.");
}

#[tokio::test]
async fn community_is_as_the_table_says() {
    check(community::ROWS).await;
}

#[tokio::test]
async fn learning_is_as_the_table_says() {
    check(learning::ROWS).await;
}

#[tokio::test]
async fn library_is_as_the_table_says() {
    check(library::ROWS).await;
}

#[tokio::test]
async fn operations_are_as_the_table_says() {
    check(operations::ROWS).await;
}

#[tokio::test]
async fn tools_are_as_the_table_says() {
    check(tools::ROWS).await;
}

#[tokio::test]
async fn users_are_as_the_table_says() {
    check(users::ROWS).await;
}
