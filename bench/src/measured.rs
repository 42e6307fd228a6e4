//! The figures, beside their targets.

use serde_json::{Value, json};

pub(crate) struct Measured {
    what: String,
    figure: String,
    target: &'static str,
    value: Value,
}

impl Measured {
    /// `value` is the same as `measured` in machine-readable form.
    pub(crate) fn new(
        what: impl Into<String>,
        measured: impl Into<String>,
        target: &'static str,
        value: Value,
    ) -> Self {
        Self { what: what.into(), figure: measured.into(), target, value }
    }
}

/// Prints the figures as a table and writes them to `bench/out/results.json`.
pub(crate) fn print(results: &[Measured]) -> anyhow::Result<()> {
    println!("\n{:<48} {:>26} {:>26}", "what", "measured", "target");
    for result in results {
        println!("{:<48} {:>26} {:>26}", result.what, result.figure, result.target);
    }
    let list: Vec<Value> = results
        .iter()
        .map(|r| json!({ "what": r.what, "measured": r.figure, "target": r.target, "value": r.value }))
        .collect();
    std::fs::create_dir_all("bench/out")?;
    Ok(std::fs::write("bench/out/results.json", serde_json::to_string_pretty(&list)?)?)
}
