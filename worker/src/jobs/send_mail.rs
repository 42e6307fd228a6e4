//! Creates the link of a mail and hands the mail to the hook, if there is one.

use cairn_core::users::jobs::SendMail;
use cairn_core::users::mail;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, job: SendMail) -> Result<(), JobError> {
    // A request for an address without an account enqueues a job like any other.
    let (Some(hook), Some(user_id)) = (&context.mail, job.user_id) else { return Ok(()) };
    let mut tx = context.db.begin().await?;
    let mail = mail::prepare(&mut tx, job.kind, user_id).await?;
    tx.commit().await?;
    let Some(mail) = mail else { return Ok(()) };
    let now = context.db.clock().now();
    hook.deliver(&mail, now).await?;
    let mut connection = context.db.acquire().await?;
    mail::record_delivery(&mut connection, job.kind, user_id, now).await?;
    Ok(())
}
