//! Answers that are no JSON.

use std::marker::PhantomData;
use std::time::Duration;

use futures_util::stream::BoxStream;
use poem::web::sse::{Event, SSE};
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::{EventStream, Payload};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};

/// A comment is sent so often, so that neither side takes a silent connection for a dead one.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Server-sent events, the data of each being a `T` as JSON.
pub struct Events<T>(BoxStream<'static, Event>, PhantomData<fn() -> T>);

impl<T> Events<T> {
    /// Sends these.
    pub fn new(events: BoxStream<'static, Event>) -> Self {
        Self(events, PhantomData)
    }
}

/// Described as poem describes its own, which cannot set the time of reconnection.
impl<T: Type + ToJSON + 'static> Payload for Events<T> {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        EventStream::<BoxStream<'static, T>>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for Events<T> {
    fn into_response(self) -> Response {
        SSE::new(self.0).keep_alive(HEARTBEAT).into_response()
    }
}

/// Markdown, as it is put together.
pub struct Markdown(BoxStream<'static, Result<String, std::io::Error>>);

impl Markdown {
    /// Sends these pieces. After an error the connection is cut, so that nobody takes the part for the whole.
    pub fn new(pieces: BoxStream<'static, Result<String, std::io::Error>>) -> Self {
        Self(pieces)
    }
}

impl Payload for Markdown {
    const CONTENT_TYPE: &'static str = "text/markdown; charset=utf-8";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
}

impl IntoResponse for Markdown {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(Body::from_bytes_stream(self.0))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_is_kept_alive() {
        let events = Events::<String>::new(futures_util::stream::pending().boxed());
        let mut body = events.into_response().into_body().into_bytes_stream();
        for _ in 0..3 {
            let begun = Instant::now();
            assert_eq!(body.next().await.unwrap().unwrap(), ":\n\n");
            assert!(begun.elapsed() <= Duration::from_secs(15), "{:?}", begun.elapsed());
        }
    }
}
