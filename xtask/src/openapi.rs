//! Checks of the OpenAPI document with the tools in `xtask/document-tools`: lints, compatibility, and requests to a running
//! Cairn.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::steps::{Command, Failure, built, target};
use crate::tools::{self, argument};

const TOOLS: &str = "xtask/document-tools";

/// Each lint takes seconds, and a minute on a machine that is busy.
const LINT: Duration = Duration::from_mins(5);

/// The tools installed, or `None` on a machine that lacks what they need.
fn install() -> Result<Option<PathBuf>, Failure> {
    if !tools::are_available()? {
        return Ok(None);
    }
    let folder = target("document-tools");
    tools::lay(Path::new(TOOLS), &folder)?;
    tools::npm_ci(&folder)?;
    tools::venv(&folder)?;
    Ok(Some(folder))
}

/// Fails unless the document, and the one of OpenAPI 3.1 that is derived from it, satisfy every lint.
pub(crate) fn lint() -> Result<(), Failure> {
    let Some(folder) = install()? else { return Ok(()) };
    let documents: [(&str, &[&str]); 2] =
        [("openapi.json", &["openapi"]), ("openapi-3.1.json", &["openapi", "--as-3.1"])];
    for (name, arguments) in documents {
        let path = folder.join(name);
        let text = built("cairn", arguments).output()?;
        std::fs::write(&path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let program = |name: &str, arguments: &[&str]| tools::npm_program(&folder, name, arguments);
        let spectral = ["lint", "--ruleset", "spectral.yaml", "--fail-severity", "warn", "--quiet", name];
        program("spectral", &spectral).run_for(LINT)?;
        program("redocly", &["lint", "--config", "redocly.yaml", name])
            .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
            .env("REDOCLY_TELEMETRY", "off")
            .run_for(LINT)?;
        tools::python(&folder, &["-m", "openapi_spec_validator", name]).run_for(LINT)?;
    }
    Ok(())
}

/// Fails when the document breaks clients of the last release and the version does not say so.
pub(crate) fn is_compatible() -> Result<(), Failure> {
    if !tools::are_available()? {
        return Ok(());
    }
    let python = |arguments: &[&str]| Command::new("python3", &[&["-B"], arguments].concat());
    python(&["-m", "unittest", "--quiet"]).within(Path::new(TOOLS)).run_for(LINT)?;
    python(&["xtask/document-tools/compatible.py", "openapi.json"]).run_for(LINT)
}

/// Sends what the document allows, and what it does not, to a Cairn of its own.
pub(crate) fn fuzz(options: &[&str]) -> Result<(), Failure> {
    let Some(folder) = install()? else { return Ok(()) };
    let cairn = target("debug/cairn");
    let script = ["fuzz.py", "--cairn", argument(&cairn)];
    // It bounds itself; this is for when it hangs.
    tools::python(&folder, &[&script, options].concat()).run_for(Duration::from_hours(2))
}
