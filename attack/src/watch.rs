//! What the users of an API notice while it is attacked.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_core::actor::Role;
use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{USERS, json_client};
use crate::target::{PASSWORD, Target};

/// How often each of them does something.
const READS: Duration = Duration::from_millis(20);
const SIGN_INS: Duration = Duration::from_millis(500);
const PROBES: Duration = Duration::from_millis(100);

/// Users, at work until it is stopped.
pub(crate) struct Watch<'a> {
    target: &'a Target,
    stop: CancellationToken,
    learner: JoinHandle<Times>,
    sign_ins: JoinHandle<Times>,
    probe: JoinHandle<Times>,
}

#[derive(Debug, Default)]
struct Times {
    took: Vec<Duration>,
    /// The first answer that was not the expected one.
    failures: Vec<String>,
}

/// What was noticed.
#[derive(Debug)]
pub(crate) struct Noticed {
    learner: Times,
    sign_ins: Times,
    probe: Times,
    peak_memory: u64,
}

impl<'a> Watch<'a> {
    async fn prepare(target: &'a Target) -> anyhow::Result<(String, String)> {
        let suffix = cairn_core::clock::new_id().simple();
        let learner = target.person(&format!("learner-{suffix}"), Role::Student).await?;
        let known = target.person(&format!("known-{suffix}"), Role::Student).await?;
        Ok((learner.token, known.email))
    }

    pub(crate) async fn start(target: &'a Target) -> anyhow::Result<Self> {
        target.forget_peak()?;
        let stop = CancellationToken::new();
        let client = json_client(USERS)?;
        let api = format!("http://127.0.0.1:{}/v1", target.api);
        let (token, email) = Self::prepare(target).await?;
        let learner = {
            let (client, url) = (client.clone(), format!("{api}/me"));
            every(READS, stop.clone(), move || client.get(&url).bearer_auth(&token))
        };
        let sign_ins = {
            let (client, url) = (client.clone(), format!("{api}/auth/login"));
            every(SIGN_INS, stop.clone(), move || {
                client.post(&url).json(&json!({"email": email, "password": PASSWORD}))
            })
        };
        let probe = {
            let url = format!("http://127.0.0.1:{}/health/live", target.ops);
            every(PROBES, stop.clone(), move || client.get(&url))
        };
        Ok(Self { target, stop, learner, sign_ins, probe })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<Noticed> {
        self.stop.cancel();
        let (learner, sign_ins, probe) = tokio::try_join!(self.learner, self.sign_ins, self.probe)?;
        Ok(Noticed { learner, sign_ins, probe, peak_memory: self.target.memory()?.1 })
    }
}

/// Sends a request again and again, one at a time.
fn every(
    pause: Duration,
    stop: CancellationToken,
    request: impl Fn() -> reqwest::RequestBuilder + Send + Sync + 'static,
) -> JoinHandle<Times> {
    let request = Arc::new(request);
    tokio::spawn(async move {
        let mut times = Times::default();
        while !stop.is_cancelled() {
            let started = Instant::now();
            match request().send().await {
                Ok(answer) if answer.status() == StatusCode::OK => times.took.push(started.elapsed()),
                Ok(answer) => times.failures.push(answer.status().to_string()),
                Err(error) => times.failures.push(format!("{error:#?}")),
            }
            tokio::time::sleep(pause).await;
        }
        times
    })
}

impl Times {
    /// The time within which 99 of 100 answers came.
    fn p99(&self) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    fn max(&self) -> Duration {
        self.took.iter().max().copied().unwrap_or_default()
    }
}

impl Noticed {
    pub(crate) const HEADINGS: &'static str = "learner p99   reads  sign-in max  sign-ins  live max  peak memory";

    /// What users notice that they should not.
    pub(crate) fn faults(&self, quiet: &Self, memory_limit: u64, tolerance: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        let limit = (quiet.learner.p99() * 2).max(tolerance);
        if self.learner.p99() > limit {
            faults.push(format!("the learner's p99 is {:.0?}, more than {limit:.0?}", self.learner.p99()));
        }
        if self.peak_memory > memory_limit {
            faults.push(format!("the API had {} MB, more than {memory_limit} MB", self.peak_memory));
        }
        for (who, times) in
            [("the learner", &self.learner), ("the known user", &self.sign_ins), ("the probe", &self.probe)]
        {
            if let Some(first) = times.failures.first() {
                faults.push(format!("{who} failed {} times, first with {first}", times.failures.len()));
            }
        }
        faults
    }
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(
            f,
            "{:>8.1} ms {:>7}  {:>8.0} ms {:>9} {:>6.0} ms {:>9} MB",
            ms(self.learner.p99()),
            self.learner.took.len(),
            ms(self.sign_ins.max()),
            self.sign_ins.took.len(),
            ms(self.probe.max()),
            self.peak_memory
        )
    }
}
