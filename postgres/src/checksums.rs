//! Which downloaded archives are trusted.

use sha2::{Digest, Sha256};

const PINS: &str = include_str!("checksums.txt");

/// The operator's variable: the SHA-256 of the archive, or [`PUBLISHED`].
pub(crate) const VARIABLE: &str = "CAIRN_POSTGRES_SHA256";
/// Trusts the checksum that is published beside the archive, as whoever could replace the archive could replace that.
const PUBLISHED: &str = "published";

/// Which archive to download, and what it must be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The requirement for the version.
    pub(crate) version: String,
    /// The SHA-256 in hexadecimal; `None` to trust what is published.
    sha256: Option<String>,
}

impl Expected {
    /// The archive of a major version for this machine. The operator's choice goes before the list in `checksums.txt`. The
    /// error says what to do.
    pub(crate) fn of(major: u32, chosen: Option<&str>) -> Result<Self, String> {
        Self::among(PINS, major, &target(), chosen)
    }

    fn among(pins: &str, major: u32, target: &str, chosen: Option<&str>) -> Result<Self, String> {
        match chosen {
            Some(PUBLISHED) => return Ok(Self { version: format!("={major}"), sha256: None }),
            Some(sha256) if is_sha256(sha256) => {
                return Ok(Self { version: format!("={major}"), sha256: Some(sha256.to_ascii_lowercase()) });
            }
            Some(_) => return Err(format!("{VARIABLE} is neither 64 hexadecimal digits nor `{PUBLISHED}`")),
            None => {}
        }
        let pin = pins_in(pins)
            .find(|[version, of, _]| *of == target && version.split('.').next() == Some(&major.to_string()));
        let [version, _, sha256] = pin.ok_or_else(|| {
            format!(
                "this program has no checksum of PostgreSQL {major} for {target} to compare a download with: install PostgreSQL, or set {VARIABLE} \
                 to that of the archive, or to `{PUBLISHED}` to trust the one beside it"
            )
        })?;
        Ok(Self { version: format!("={version}"), sha256: Some(sha256.to_owned()) })
    }

    /// Checks the bytes of the archive, before anything of it is unpacked.
    pub(crate) fn check(&self, archive: &[u8]) -> Result<(), String> {
        let found = Sha256::digest(archive).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        match &self.sha256 {
            Some(expected) if *expected != found => {
                Err(format!("the archive has the SHA-256 {found} instead of {expected}, so it was not unpacked"))
            }
            _ => Ok(()),
        }
    }
}

/// The lines that are no comments.
fn pins_in(text: &str) -> impl Iterator<Item = [&str; 3]> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The target in the names of archives.
fn target() -> String {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "macos" => format!("{arch}-apple-darwin"),
        "linux" if cfg!(target_env = "musl") => format!("{arch}-unknown-linux-musl"),
        "linux" => format!("{arch}-unknown-linux-gnu"),
        other => format!("{arch}-unknown-{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binaries::FETCHED;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_line_of_the_list_is_understood() {
        let lines = PINS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).count();
        assert_eq!(pins_in(PINS).count(), lines);
        for [version, _, sha256] in pins_in(PINS) {
            assert!(is_sha256(sha256) && version.split('.').count() == 3, "{version} {sha256}");
        }
    }

    #[test]
    fn what_is_fetched_without_a_choice_has_a_checksum_for_usual_machines() {
        for target in
            ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"]
        {
            let expected = Expected::among(PINS, FETCHED, target, None).unwrap();
            assert!(expected.sha256.is_some(), "{target}");
        }
    }

    #[test]
    fn only_the_archive_with_the_expected_checksum_is_unpacked() {
        let pins = format!("# comment\n16.1.0 here {ABC}\n17.5.0 there {ABC}\n17.5.0 here {ABC}\n");
        let expected = Expected::among(&pins, 17, "here", None).unwrap();
        assert_eq!(expected.version, "=17.5.0");
        expected.check(b"abc").unwrap();
        let error = expected.check(b"abd").unwrap_err();
        assert!(error.contains(ABC) && error.contains("was not unpacked"), "{error}");
    }

    #[test]
    fn without_a_checksum_the_operator_decides() {
        let error = Expected::among("", 17, "here", None).unwrap_err();
        assert!(error.contains("no checksum of PostgreSQL 17 for here") && error.contains(VARIABLE), "{error}");
        let chosen = Expected::among("", 17, "here", Some(&ABC.to_ascii_uppercase())).unwrap();
        assert_eq!(chosen.version, "=17");
        chosen.check(b"abc").unwrap();
        chosen.check(b"abd").unwrap_err();
        Expected::among("", 17, "here", Some("published")).unwrap().check(b"anything").unwrap();
        for typo in ["yes", "", &ABC[1..]] {
            assert!(Expected::among("", 17, "here", Some(typo)).unwrap_err().contains(VARIABLE));
        }
    }
}
