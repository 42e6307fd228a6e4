//! What admins run the platform with: settings, statistics, the activity log, queues and jobs.

use super::table::Access::{Admins, Members};
use super::table::{Row, row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("getPlatformSettings", Members, 2),
    row("listSettings", Admins, 2),
    row("getSetting", Admins, 2),
    row("updateSetting", Admins, 6).body(r#"{"value": "open"}"#),
    row("resetSetting", Admins, 4),

    row("getDashboard", Admins, 2),
    row("getDailyStats", Admins, 4),
    row("getFunnel", Admins, 3),
    row("listLessonStats", Admins, 2),

    row("listActivity", Admins, 2),
    row("getActivity", Admins, 2),
    row("listRecentStudentActivity", Admins, 2),
    row("exportActivity", Admins, 7),
    row("listHistory", Admins, 2),

    row("listQueues", Admins, 2),
    row("pauseQueue", Admins, 5),
    row("resumeQueue", Admins, 4),
    row("listWorkers", Admins, 2),
    row("listJobs", Admins, 2),
    row("getJob", Admins, 2),
    row("retryJob", Admins, 6),
    row("discardJob", Admins, 6),
    row("retryJobs", Admins, 5).body(r#"{"queue": "likes", "state": "dead"}"#),
    row("discardJobs", Admins, 5).body(r#"{"queue": "likes", "state": "dead"}"#),
];
