//! Tools in other languages, pinned in the repository and installed below the target directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::steps::{Command, Failure, read};

/// The packages are downloaded.
const INSTALL: Duration = Duration::from_mins(5);

/// A program, and the arguments with which it succeeds if it can be used.
pub(crate) type Program = (&'static str, &'static [&'static str]);

pub(crate) const PYTHON: Program = ("python3", &["-c", "import ensurepip, venv"]);

/// Whether `npm` and `python3` with its `venv` can be used.
pub(crate) fn are_available() -> Result<bool, Failure> {
    are_installed(&[("node", &["--version"]), ("npm", &["--version"]), PYTHON])
}

/// Whether programs can be used. A developer may lack them; CI may not.
#[expect(clippy::disallowed_methods, reason = "this program has no configuration")]
pub(crate) fn are_installed(programs: &[Program]) -> Result<bool, Failure> {
    for (program, arguments) in programs {
        if !Command::new(program, arguments).run_silently() {
            if std::env::var_os("CI").is_some() {
                return Err(Failure::new(format!("{program} is not installed (or has no venv)")));
            }
            eprintln!("skipped: {program} is not installed (or has no venv)");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Installs what the `package-lock.json` in `folder` lists, unless it is installed already.
pub(crate) fn npm_ci(folder: &Path) -> Result<(), Failure> {
    once(folder, "package-lock.json", || {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        Command::new("npm", &arguments).within(folder).run_for(INSTALL)
    })
}

/// Makes a virtual environment in `folder` of what the `requirements.txt` there lists, unless it is made already.
pub(crate) fn venv(folder: &Path) -> Result<(), Failure> {
    once(folder, "requirements.txt", || {
        Command::new("python3", &["-m", "venv", "--clear", "venv"]).within(folder).run_for(INSTALL)?;
        let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        python(folder, &[&arguments[..], &["requirements.txt"]].concat()).run_for(INSTALL)
    })
}

/// The Python of the virtual environment in `folder`, which it runs in.
pub(crate) fn python(folder: &Path, arguments: &[&str]) -> Command {
    Command::new(folder.join("venv/bin/python"), arguments).within(folder)
}

/// Copies the files of `from` into `folder`, where they find what is installed.
pub(crate) fn lay(from: &Path, folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            std::fs::copy(&path, folder.join(path.file_name().unwrap_or_default())).map_err(failed)?;
        }
    }
    Ok(())
}

/// Does something for each content of a file in `folder` once.
fn once(folder: &Path, file: &str, install: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let wanted = read(&folder.join(file))?;
    let done: PathBuf = folder.join(format!("{file}.installed"));
    if std::fs::read_to_string(&done).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install()?;
    std::fs::write(&done, wanted).map_err(|error| Failure::new(format!("{}: {error}", done.display())))
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.as_os_str().to_str().unwrap_or_default()
}

/// A program of an npm package that is installed in `folder`, which it runs in.
pub(crate) fn npm_program(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    Command::new(folder.join("node_modules/.bin").join(name), arguments).within(folder)
}
