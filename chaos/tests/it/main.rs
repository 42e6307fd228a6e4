//! Each fault once, and rolling restarts, beside learners, mentors and editors.

use std::time::Duration;

use cairn_chaos::{Fault, People, Plan, Schedule, run};
use cairn_core::failpoint;

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_loses_or_repeats_anything() {
    let report = run(Plan::each_once(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.faults.len(), Fault::ALL.len(), "{report}");
    assert!(report.accepted > 500, "too little load: {report}");
    assert!(report.decisions > 0 && report.edits > 0, "too few of them: {report}");
    assert!(report.slowest_recovery() < Duration::from_mins(1), "{report}");
}

/// Every worker is stopped and started again several times under load. Each drains and exits with 0, which the chaos run
/// checks, and no job runs twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_and_repeats_nothing() {
    let people = People { learners: 10, mentors: 1, editors: 1, askers: 0 };
    let faults = Schedule::Each(vec![Fault::StopWorker; 12]);
    let plan = Plan { people, pause: Duration::from_millis(300), actions: 20, faults, provider: None };
    let report = run(plan, |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.repeated_runs, 0, "{report}");
    assert!(report.accepted > 200, "too little load: {report}");
}

/// A provider that shows its faults at random, while workers are killed in the middle of answers. `cargo xtask chaos
/// --provider-faults` does the same for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_shows_its_faults_loses_doubles_cuts_and_mixes_no_reply() {
    let people = People { learners: 1, mentors: 0, editors: 0, askers: 8 };
    let faults = vec![
        Fault::KillWorker,
        Fault::WorkerAt(failpoint::AFTER_EXTERNAL_CALL),
        Fault::CutConnections,
        Fault::KillApi,
        Fault::StopWorker,
        Fault::KillWorker,
    ];
    let (pause, faults) = (Duration::from_secs(2), Schedule::Each(faults));
    let plan = Plan { people, pause, actions: 10, faults, provider: Some(1) };
    let report = run(plan, |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    let replies = report.replies.as_ref().unwrap();
    assert_eq!([replies.lost, replies.doubled, replies.cut, replies.mixed], [0; 4], "{report}");
    assert!(replies.questions > 40 && replies.completed() > 30, "too little load: {report}");
    assert!(replies.cases.len() > 15, "too few cases: {report}");
    assert!(replies.usage.iter().all(|times| *times > 0), "every kind of usage: {report}");
}
