//! Measures whether questions, as learners ask them, find the right sources of the demo course.
//!
//! `cargo xtask evals` asks each question of `evals/questions/` by the search that answers are based on, in a database of its
//! own, and prints the figures beside those of `evals/figures.json`. It fails if one is lower. `--accept` writes the figures to
//! the file, and `--show` lists the tuning questions that are answered badly, with what they found. With `--hybrid`
//! sources are found by their meaning as well, by a small model that `embeddings/server.py` serves, and the figures are those of both
//! searches together.
//!
//! `tuning.txt` may be looked at while the ranking is changed. The others may not, so their figures say what to expect of
//! questions that nobody has thought of.

mod figures;
mod questions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cairn_core::config::Config;
use cairn_core::db::Db;
use cairn_core::learning::course;
use cairn_core::library::embeddings::Near;
use cairn_core::library::search;
use cairn_core::tools::sources;
use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use cairn_testing::database::set_up_on;
use cairn_worker::embeddings::Meaning;
use prometheus::Registry;
use sqlx::PgConnection;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::figures::{Figures, Table, dropped, mean, of_question};
use crate::questions::Question;

const COURSE: &str = include_str!("../../cli/demo/course.yaml");

/// The sets of questions.
const SETS: [&str; 3] = ["tuning", "held-out", "independent"];

/// How long the small model may take to start, and to make the vectors of all passages.
const START_LIMIT: Duration = Duration::from_mins(1);
const VECTORS_LIMIT: Duration = Duration::from_mins(20);

/// Whoever asks has not begun anything yet.
const LEARNER: Uuid = Uuid::from_u128(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| options.iter().any(|given| given == option);
    let folder = options.last().filter(|_| has("--hybrid"));
    let is_unknown =
        |option: &&String| !["--accept", "--show", "--hybrid"].contains(&option.as_str()) && Some(*option) != folder;
    if let Some(unknown) = options.iter().find(is_unknown) {
        bail!("`{unknown}` is not an option: there are --accept, --show and --hybrid");
    }
    let model = match folder {
        Some(folder) => Some(Model::start(Path::new(folder)).await?),
        None => None,
    };
    let server = throw_away_server(Durability::Relaxed, &[]).await?;
    let url = set_up_on(&server, "evals").await?;
    let db = Db::connect(&url, &url, 2)?;
    let measured = measure(&db, model.as_ref().map(|model| &model.meaning), has("--show")).await;
    db.close().await;
    server.stop().await.context("stopping Postgres")?;
    compare(measured?, has("--accept"))
}

/// A small model, which is served while this exists.
struct Model {
    meaning: Meaning,
    _server: Child,
}

impl Model {
    /// Starts the server that `cargo xtask evals` has installed in a folder.
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(folder.join("venv/bin/python"));
        command.arg("server.py").current_dir(folder).stdout(Stdio::piped()).kill_on_drop(true);
        let mut server = command.spawn().context("starting the server of the model")?;
        let mut lines = BufReader::new(server.stdout.take().context("no output")?).lines();
        let line = tokio::time::timeout(START_LIMIT, lines.next_line()).await.context("the model does not start")?;
        let line = line?.context("the server of the model has ended")?;
        let url = line.strip_prefix("listening on ").context(line.clone())?;
        let values = [
            ("BASE_URL", url),
            ("MODEL", "multilingual-e5-small"),
            ("QUERY_PREFIX", "query:"),
            ("PASSAGE_PREFIX", "passage:"),
        ];
        let values = values.map(|(key, value)| (format!("CAIRN_EMBEDDINGS_{key}"), value.to_owned()));
        let config = Config::from_values(&HashMap::from(values))?.embeddings.context("no endpoint")?;
        Ok(Self { meaning: Meaning::new(&config, &Registry::new())?, _server: server })
    }
}

async fn measure(db: &Db, meaning: Option<&Meaning>, show: bool) -> anyhow::Result<Table> {
    import(db).await?;
    if let Some(meaning) = meaning {
        let started = Instant::now();
        while meaning.embed(db).await? {
            ensure!(started.elapsed() < VECTORS_LIMIT, "the passages have no vectors yet: see what the model says");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("vectors: {:.1} s", started.elapsed().as_secs_f64());
    }
    let prefix = if meaning.is_some() { "hybrid, " } else { "" };
    let mut connection = db.acquire().await?;
    let mut table = Table::new();
    let mut times = Vec::new();
    for set in SETS {
        let questions = questions::read(&folder().join(format!("questions/{set}.txt")))?;
        let mut all = Vec::new();
        for question in &questions {
            let begun = Instant::now();
            let near = match meaning {
                Some(meaning) => meaning.near(db, &question.text).await,
                None => Vec::new(),
            };
            let found = ask(&mut connection, question, &near).await?;
            times.push(begun.elapsed());
            let figures = of_question(&found, &question.grades);
            if show && set == "tuning" && figures.hit_1 < 1.0 {
                println!("{} {}\n    {}", figures.mrr, question.text, found.join(" "));
            }
            all.push((question, figures));
        }
        let of = |wanted: &dyn Fn(&Question) -> bool| {
            mean(&all.iter().filter(|(question, _)| wanted(question)).map(|(_, figures)| *figures).collect::<Vec<_>>())
        };
        table.insert(format!("{prefix}{set}"), of(&|_| true));
        for language in ["en", "ru"] {
            table.insert(format!("{prefix}{set}, {language}"), of(&|question| question.language == language));
        }
        for form in ["everyday", "exact", "misspelt"] {
            table.insert(format!("{prefix}{set}, {form}"), of(&|question| question.form == form));
        }
    }
    times.sort_unstable();
    println!("searches: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    Ok(table)
}

/// Imports the demo course, as `cairn dev` does, and counts its words, as the worker does.
async fn import(db: &Db) -> anyhow::Result<()> {
    let course = course::parse(COURSE).map_err(|_| anyhow::anyhow!("the demo course is invalid"))?;
    let mut tx = db.begin().await?;
    course::import(&mut tx, &course, |_, _| {}).await?;
    search::count_terms(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// The sources that a question finds, the best first.
async fn ask(connection: &mut PgConnection, question: &Question, near: &[Near]) -> anyhow::Result<Vec<String>> {
    let found = sources::find(connection, LEARNER, &question.text, near).await?;
    let mut names = Vec::new();
    for source in found {
        let table = match source.kind {
            search::HitKind::Lesson => "SELECT slug::text FROM lessons WHERE id = $1",
            search::HitKind::Prompt => "SELECT slug::text FROM prompts WHERE id = $1",
            search::HitKind::GlossaryTerm => "SELECT slug::text FROM glossary_terms WHERE id = $1",
            other => bail!("{} is no kind of source", other.name()),
        };
        let slug: String = sqlx::query_scalar(table).bind(source.id).fetch_one(&mut *connection).await?;
        names.push(format!("{}/{slug}", source.kind.name()));
    }
    Ok(names)
}

/// Prints the figures beside those of the file, which it writes if they are accepted.
fn compare(now: Table, accept: bool) -> anyhow::Result<()> {
    let file = folder().join("figures.json");
    let mut before: Table = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).context("evals/figures.json")?,
        Err(_) => Table::new(),
    };
    println!("{:<30} {:>4}  {:<15}{:<15}{:<15}{:<15}", "", "", "hit@1", "hit@3", "MRR", "nDCG@5");
    for (name, now) in &now {
        let before = before.get(name).copied().unwrap_or_default();
        let pair = |figure: fn(&Figures) -> f64| format!("{:.3} ({:.3})", figure(now), figure(&before));
        let columns = [pair(|f| f.hit_1), pair(|f| f.hit_3), pair(|f| f.mrr), pair(|f| f.ndcg)];
        println!(
            "{name:<30} {:>4}  {:<15}{:<15}{:<15}{:<15}",
            now.questions, columns[0], columns[1], columns[2], columns[3]
        );
    }
    if accept {
        before.extend(now);
        std::fs::write(&file, serde_json::to_string_pretty(&before)? + "\n")?;
        return Ok(());
    }
    let dropped = dropped(&before, &now);
    ensure!(dropped.is_empty(), "worse than evals/figures.json: {}", dropped.join("; "));
    Ok(())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
