//! The next migration.

use std::path::Path;

use crate::steps::Failure;

const FOLDER: &str = "migrations";

/// Creates `migrations/NNNN_name.sql` with the number after the highest.
pub(crate) fn create(name: &str) -> Result<(), Failure> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(Failure::new(format!("{name:?}: a migration's name has small letters, digits and underscores")));
    }
    let entries = std::fs::read_dir(FOLDER).map_err(|error| Failure::new(format!("{FOLDER}: {error}")))?;
    let files: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let file = Path::new(FOLDER).join(format!("{:04}_{name}.sql", next(&files)));
    std::fs::write(&file, HEADER).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    println!("{}: write it, then run `cargo xtask regen`", file.display());
    Ok(())
}

const HEADER: &str = "\
-- Why this change is needed, in a sentence or two.
--
-- Migrations are append-only: once this one has been merged, it is changed by the next one. The previous release must
-- run on the result, so add before you remove (migrations/README.md).
";

fn next(files: &[String]) -> u32 {
    let numbers = files.iter().filter_map(|file| file.strip_suffix(".sql")?.split('_').next()?.parse().ok());
    numbers.max().unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_number_follows_the_highest() {
        let files = ["0102_users.sql", "0101_foundation.sql", "Cargo.toml", "9999_notes.md"].map(str::to_owned);
        assert_eq!(next(&files), 103);
        assert_eq!(next(&[]), 1);
    }
}
