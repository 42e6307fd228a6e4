//! What docs/SECURITY.md says becomes of each column that refers to a person or says something of one.

const DOCUMENT: &str = include_str!("../../docs/SECURITY.md");

/// A row of the table "Personal data".
pub struct Personal {
    /// The table and its column, such as `sessions.ip`.
    pub column: &'static str,
    /// What happens to it when its user deletes their account.
    pub erasure: &'static str,
    /// The section of the export that has it, or why none does.
    pub export: &'static str,
    /// How long it is kept.
    pub retention: &'static str,
}

impl Personal {
    /// The rows of the table.
    pub fn all() -> Vec<Self> {
        let rows = DOCUMENT.split("\n## Personal data\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = rows.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
        rows.map(|row| {
            let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim().trim_end_matches('`')).collect();
            let [column, erasure, export, retention] = cells[..] else { panic!("a row of four cells: {row}") };
            Self { column, erasure, export, retention }
        })
        .collect()
    }

    /// Whether no row that names the user is left after an erasure.
    pub fn is_removed(&self) -> bool {
        self.erasure.starts_with("removed")
    }
}
