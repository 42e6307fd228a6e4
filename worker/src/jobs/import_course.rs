//! Imports a course that an admin has sent.

use cairn_core::learning::imports;
use cairn_core::learning::jobs::ImportCourse;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, job: ImportCourse) -> Result<(), JobError> {
    Ok(imports::run(&context.db, job.import_id).await?)
}
