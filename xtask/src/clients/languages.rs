//! How each language's client is generated and checked, and what it then contains.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::steps::{Failure, read, target};

use super::bounded::Bounded;
use super::contract::{Generated, Kind};
use super::folder::folder;

/// Downloads packages.
const INSTALL: Duration = Duration::from_mins(5);
const GENERATE: Duration = Duration::from_mins(2);
const CHECK: Duration = Duration::from_mins(3);
/// Builds an HTTP client with all that it needs, on one core in the worst case.
const BUILD: Duration = Duration::from_mins(15);

/// A language that has a client.
pub(super) struct Language {
    /// The name of its folder in `clients/`.
    pub(super) name: &'static str,
    /// Commands that succeed where its tools are installed.
    pub(super) needs: &'static [&'static [&'static str]],
    /// Installs the generator, generates the client and checks its types.
    pub(super) generate: fn() -> Result<Generated, Failure>,
    /// The program, if there is one.
    pub(super) program: Option<fn() -> Bounded>,
}

const PYTHON: &[&str] = &["python3", "-c", "import ensurepip, venv"];
const JAVA: &[&str] = &["java", "-version"];

pub(super) const LANGUAGES: [Language; 5] = [
    Language {
        name: "typescript",
        needs: &[&["node", "--version"], &["npm", "--version"]],
        generate: typescript,
        program: Some(|| Bounded::new("node").args([folder("typescript/dist/program.js")])),
    },
    Language {
        name: "python",
        needs: &[PYTHON],
        generate: python,
        program: Some(|| Bounded::new(folder("tools/python/bin/python")).args([folder("python/program.py")])),
    },
    Language {
        name: "rust",
        needs: &[&["cargo", "--version"]],
        generate: rust,
        program: Some(|| Bounded::new(folder("rust/debug/cairn-client"))),
    },
    Language { name: "kotlin", needs: &[PYTHON, JAVA], generate: kotlin, program: None },
    Language { name: "swift", needs: &[PYTHON, JAVA], generate: swift, program: None },
];

fn typescript() -> Result<Generated, Failure> {
    let here = lay("typescript")?;
    install("typescript/package-lock.json", || {
        let npm = Bounded::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.within(&here).run("npm", INSTALL)
    })?;
    let tool = |name| Bounded::new(here.join("node_modules/.bin").join(name)).within(&here);
    let output = tool("openapi-typescript").args([document().as_os_str(), "--output".as_ref(), "schema.ts".as_ref()]);
    refuse_warnings(&output.run("openapi-typescript", GENERATE)?)?;
    tool("tsc").args(["--outDir", "dist"]).run("tsc", CHECK)?;

    // Members of `schemas` are two levels deep, and so are the responses of operations in their own interface.
    let schema = read(&here.join("schema.ts"))?;
    let (rest, operations) = schema.split_once("export interface operations {").unwrap_or_default();
    let (_, schemas) = rest.split_once("    schemas: {").unwrap_or_default();
    let types: BTreeSet<String> = keys(schemas, 8).map(|(name, _)| name.to_owned()).collect();
    let operations = keys(operations, 4).map(|(name, rest)| {
        let body = rest.split("\n    };").next().unwrap_or_default();
        (name.to_owned(), body.split_once("responses: {").unwrap_or_default().1.to_owned())
    });
    Ok(Generated { models: types.len(), types, operations: operations.collect(), inlined: None })
}

/// Members that are indented by that much, until the first line that is less, each with the text from there on.
fn keys(text: &str, indent: usize) -> impl Iterator<Item = (&str, &str)> {
    let margin = " ".repeat(indent);
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (line, next) = rest.split_once('\n')?;
            rest = next;
            let depth = line.len() - line.trim_start().len();
            if depth < indent && !line.is_empty() {
                return None;
            }
            let name = line.strip_prefix(&margin).and_then(|line| line.split_once(':'));
            if let Some((name, _)) = name.filter(|(name, _)| depth == indent && name.chars().all(is_of_a_name)) {
                return Some((name, next));
            }
        }
    })
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn python() -> Result<Generated, Failure> {
    let here = lay("python")?;
    requirements("python")?;
    let _ = fs::remove_dir_all(here.join("cairn_client"));
    let tool = |name: &str| Bounded::new(folder("tools/python/bin").join(name)).within(&here);
    let arguments = ["generate", "--fail-on-warning", "--overwrite", "--meta", "none", "--config", "generator.yaml"];
    let generate = tool("openapi-python-client").args(arguments).args(["--output-path", "cairn_client", "--path"]);
    // The generator takes what refers to a type for never null in OpenAPI 3.0.
    let document = here.join("openapi-3.1.json");
    let modern = Bounded::new(target("debug/cairn")).args(["openapi", "--as-3.1"]).run("cairn openapi", CHECK)?;
    fs::write(&document, modern).map_err(failed)?;
    generate.args([document]).run("openapi-python-client", GENERATE)?;
    tool("mypy").args(["program.py", "cairn.py", "cairn_client"]).run("mypy", CHECK)?;

    let types = stems(&here.join("cairn_client/models"))?;
    let mut operations = BTreeMap::new();
    for tag in files(&here.join("cairn_client/api"))?.into_iter().filter(|tag| tag.is_dir()) {
        for file in files(&tag)?.into_iter().filter(|file| file.extension().is_some_and(|it| it == "py")) {
            let text = read(&file)?;
            // Annotated with what the function returns.
            let declared = text.lines().find(|line| line.starts_with("def _build_response("));
            operations.insert(stem(&file), declared.unwrap_or_default().to_owned());
        }
    }
    operations.remove("__init__");
    Ok(Generated { models: types.len(), types, operations, inlined: Some(Kind::Union) })
}

fn rust() -> Result<Generated, Failure> {
    let cargo = |command: &[&str]| {
        Bounded::new("cargo")
            .args(command)
            .within("clients/rust")
            .env("CARGO_TARGET_DIR", folder("rust"))
            .env("CAIRN_OPENAPI", document())
    };
    cargo(&["fmt", "--check"]).run("rustfmt", CHECK)?;
    // Clippy compiles what it lints, so that dependencies are built once, not checked and then built.
    cargo(&["build", "--locked"]).env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver").run("cargo", BUILD)?;

    let generated = files(&folder("rust/debug/build"))?.into_iter().map(|folder| folder.join("out/client.rs"));
    let newest = generated.filter_map(|file| Some((fs::metadata(&file).ok()?.modified().ok()?, file))).max();
    let (_, file) = newest.ok_or_else(|| Failure::new("nothing was generated"))?;
    let text: String = read(&file)?.split_whitespace().collect();
    let (types, builders) = text.split_once("pubmodbuilder{").unwrap_or_default();
    let types = types.split("pubstruct").skip(1).chain(types.split("pubenum").skip(1));
    let types: BTreeSet<String> =
        types.filter_map(|rest| rest.split(|it| !is_of_a_name(it)).next()).map(str::to_owned).collect();
    let operations = builders.split("asyncfnsend(self)->").zip(builders.split("asyncfnsend(self)->").skip(1));
    let operations = operations.filter_map(|(before, after)| {
        let (_, name) = before.rsplit_once("impl<'a>")?;
        Some((name.split('<').next()?.to_owned(), after.split('{').next()?.to_owned()))
    });
    Ok(Generated { models: types.len(), types, operations: operations.collect(), inlined: None })
}

fn kotlin() -> Result<Generated, Failure> {
    let here = openapi_generator("kotlin")?;
    let sources = here.join("src/main/kotlin/cairn/client");
    let types = stems(&sources.join("models"))?;
    let operations = declarations(&sources.join("apis"), " fun ", "{")?;
    Ok(Generated { models: types.len(), types, operations, inlined: Some(Kind::Nothing) })
}

fn swift() -> Result<Generated, Failure> {
    let here = openapi_generator("swift")?;
    let sources = here.join("Sources/CairnClient");
    let types = stems(&sources.join("Models"))?;
    let operations = declarations(&sources.join("APIs"), " class func ", "{")?;
    Ok(Generated { models: types.len(), types, operations, inlined: Some(Kind::Nothing) })
}

fn openapi_generator(language: &str) -> Result<PathBuf, Failure> {
    requirements(language)?;
    let (out, log) = (folder(language), format!("openapi-generator-{language}"));
    let _ = fs::remove_dir_all(&out);
    let config = Path::new("clients").join(language).join("generator.yaml");
    // Without the script of the package, which would leave its Java running when it is stopped.
    let packages = files(&folder("tools/python/lib"))?.into_iter().map(|python| python.join("site-packages"));
    let mut jars = packages.map(|packages| packages.join("openapi_generator_cli/openapi-generator.jar"));
    let jar = jars.find(|jar| jar.exists()).ok_or_else(|| Failure::new("openapi-generator is not installed"))?;
    let generate = Bounded::new("java").args(["-jar"]).args([jar]);
    let generate = generate.args(["generate", "--config"]).args([&config]).args(["--output"]).args([&out]);
    refuse_warnings(&generate.args(["--input-spec"]).args([document()]).run(&log, GENERATE)?)?;
    Ok(out)
}

/// What functions return, by their names: one line each.
fn declarations(folder: &Path, keyword: &str, end: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for file in files(folder)? {
        for line in read(&file)?.lines().filter(|line| line.trim_end().ends_with(end)) {
            let Some((name, rest)) = line.split_once(keyword).and_then(|(_, rest)| rest.split_once('(')) else {
                continue;
            };
            found.insert(name.to_owned(), rest.rsplit_once(')').unwrap_or_default().1.to_owned());
        }
    }
    Ok(found)
}

fn refuse_warnings(output: &str) -> Result<(), Failure> {
    let is_warning = |line: &&str| ["WARN", "Warn", "warning", "ERROR", "⚠"].iter().any(|word| line.contains(word));
    let warnings: Vec<&str> = output.lines().filter(is_warning).collect();
    if warnings.is_empty() { Ok(()) } else { Err(Failure::new(warnings.join("\n"))) }
}

fn document() -> PathBuf {
    target("../openapi.json")
}

/// Copies the files of a language to where its client is generated.
fn lay(language: &str) -> Result<PathBuf, Failure> {
    let here = folder(language);
    fs::create_dir_all(&here).map_err(failed)?;
    for file in files(&Path::new("clients").join(language))?.into_iter().filter(|file| file.is_file()) {
        fs::copy(&file, here.join(file.file_name().unwrap_or_default())).map_err(failed)?;
    }
    Ok(here)
}

/// Installs the pinned Python packages of a language.
fn requirements(language: &str) -> Result<(), Failure> {
    let tools = folder("tools/python");
    let list = format!("{language}/requirements.txt");
    install(&list, || {
        if !tools.join("bin/pip").exists() {
            Bounded::new("python3").args(["-m", "venv"]).args([&tools]).run("venv", INSTALL)?;
        }
        let pip = Bounded::new(tools.join("bin/pip")).args(["install", "--quiet", "--requirement"]);
        pip.args([Path::new("clients").join(&list)]).run("pip", INSTALL)
    })
}

/// Installs what a list names, unless that has been done with the same list.
fn install(list: &str, install: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
    let wanted = read(&Path::new("clients").join(list))?;
    let stamp = folder(&format!("tools/{}", list.replace('/', "-")));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    fs::create_dir_all(folder("tools")).map_err(failed)?;
    fs::write(stamp, wanted).map_err(failed)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error| Failure::new(format!("{}: {error}", folder.display()));
    Ok(fs::read_dir(folder).map_err(cannot)?.flatten().map(|entry| entry.path()).collect())
}

/// Names of files without their extensions.
fn stems(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    Ok(files(folder)?.iter().map(|file| stem(file)).filter(|name| name != "__init__").collect())
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn failed(error: std::io::Error) -> Failure {
    Failure::new(format!("target/clients: {error}"))
}
