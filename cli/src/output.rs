//! Writes to standard output and error without panicking, unlike `println!`.

use std::io::{IsTerminal, Write};

use cairn_core::schema::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// Writes a result to standard output: as it is to files and other programs, and without what is not visible to a terminal,
/// which some characters would command.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        out.write_all(printable(text).as_bytes())?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    Ok(out.flush()?)
}

/// Writes a result and a newline to standard output.
pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a message that is not part of the result: a line on standard error.
pub(crate) fn report(text: &str) {
    // If standard error is closed, there is nowhere left to report it.
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// The text on one line, without what is not visible.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], "\u{fffd}")
}

/// Formats rows as a table with columns as wide as necessary. Numbers are aligned to the right, and what is
/// not visible is replaced.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let columns = head.iter().enumerate().map(|(column, name)| {
        let width = cells(column).chain([name]).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let is_number =
            cells(column).all(|cell| cell.chars().next().is_none_or(|c| c.is_ascii_digit()) && cell.len() < 12);
        (width, is_number)
    });
    let columns: Vec<(usize, bool)> = columns.collect();
    let line =
        |row: &Vec<String>| {
            let cells = row.iter().zip(&columns).map(|(cell, &(width, is_number))| {
                if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
    [&head].into_iter().chain(&rows).map(line).collect()
}

/// A progress bar, which is only shown on a terminal.
pub(crate) fn progress_bar(total: u64, what: &'static str) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}
