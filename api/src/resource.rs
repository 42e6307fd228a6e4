//! Creating, changing and deleting resources that admins edit, as shared by all of their handlers.

use cairn_core::actor::Caller;
use cairn_core::resource::{self, Edit, Refusal, Resource};
use poem_openapi::types::{ParseFromJSON, ToJSON};
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::params::{Body, IdempotencyKey, IdempotentRequest, IfMatch};
use crate::{App, Problem};

impl App {
    /// Creates the resource that `body` describes in the collection at `path`, once per idempotency key.
    pub(crate) async fn create<R, B, T>(
        &self,
        caller: &Caller,
        (path, operation): (&'static str, &'static str),
        key: Option<IdempotencyKey>,
        body: &Body<B>,
    ) -> Result<Created<T>, Problem>
    where
        R: Resource + for<'a> From<&'a B>,
        T: From<R> + ToJSON + ParseFromJSON,
    {
        self.create_from(caller, (path, operation), key, body, |body| Ok(R::from(body))).await
    }

    /// As [`App::create`], where `row` makes the resource of the body.
    pub(crate) async fn create_from<R, B, T>(
        &self,
        caller: &Caller,
        (path, operation): (&'static str, &'static str),
        key: Option<IdempotencyKey>,
        body: &Body<B>,
        row: impl FnOnce(&B) -> Result<R, Refusal>,
    ) -> Result<Created<T>, Problem>
    where
        R: Resource,
        T: From<R> + ToJSON + ParseFromJSON,
    {
        let request = IdempotentRequest::new(caller, operation, key, body);
        let mut tx = self.begin_as(caller).await?;
        if let Some(answer) = request.replay(&mut tx).await? {
            return Ok(Created::new(path, answer));
        }
        let answer = T::from(resource::create(&mut tx, &row(body)?).await?);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(Created::new(path, answer))
    }

    /// Changes the resource with that id if it still has the `version` that the client has seen.
    pub(crate) async fn edit<R: Resource, T: From<R>>(
        &self,
        caller: &Caller,
        id: Uuid,
        version: IfMatch,
        edit: Edit<R>,
    ) -> Result<Versioned<T>, Problem> {
        let mut tx = self.begin_as(caller).await?;
        let resource = resource::edit(&mut tx, id, version.0, edit).await?;
        tx.commit().await?;
        Ok(Versioned(resource.into()))
    }

    /// Deletes the resource with that id if it still has the `version` that the client has seen.
    pub(crate) async fn delete<R: Resource>(
        &self,
        caller: &Caller,
        id: Uuid,
        version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.edit::<R, R>(caller, id, version, resource::delete(self.now())).await?;
        Ok(NoContent)
    }
}
