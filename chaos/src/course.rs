//! The course that the learners take.

use cairn_core::learning::course::{Course, parse};

/// Fourteen lessons in three stages, all of them unlocked.
pub(crate) fn course() -> anyhow::Result<Course> {
    let lessons: Vec<String> = (0..14)
        .map(|n| {
            format!(
                "{{slug: lesson-{n}, title: Lesson {n}, summary: S, duration_minutes: 5, body: Text about servers.}}"
            )
        })
        .collect();
    let stages: Vec<String> = [0..5, 5..10, 10..14]
        .into_iter()
        .enumerate()
        .map(|(n, range)| {
            let entries: Vec<String> = range.map(|n| format!("{{lesson: lesson-{n}}}")).collect();
            format!("{{slug: stage-{n}, title: Stage {n}, summary: S, lessons: [{}]}}", entries.join(", "))
        })
        .collect();
    let text = format!(
        "version: 1\nmodules: [{{slug: module, title: Module, summary: S, lessons: [{}]}}]\n\
         roadmaps: [{{slug: roadmap, title: Roadmap, summary: S, stages: [{}]}}]\n",
        lessons.join(", "),
        stages.join(", ")
    );
    parse(&text).map_err(|problems| anyhow::anyhow!("the course is invalid: {problems:?}"))
}
