//! Each fault once, and rolling restarts, beside learners, mentors and editors.

use std::time::Duration;

use cairn_chaos::{Fault, People, Plan, Schedule, run};

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
    let people = People { learners: 10, mentors: 1, editors: 1 };
    let faults = Schedule::Each(vec![Fault::StopWorker; 12]);
    let plan = Plan { people, pause: Duration::from_millis(300), actions: 20, faults };
    let report = run(plan, |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.repeated_runs, 0, "{report}");
    assert!(report.accepted > 200, "too little load: {report}");
}
