//! Responses that many operations share: versions, creations, and bodies that are not JSON.

use std::marker::PhantomData;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::BoxStream;
use poem::http::{HeaderValue, StatusCode, header};
use poem::web::sse::{Event, SSE};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The interval between comments on an idle stream, so that neither side mistakes a silent connection for a lost one.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A response with the version of its value in the `ETag`, for the client to send with the next update.
///
/// The value's JSON has a member `version`.
pub(crate) struct Versioned<T>(pub T);

/// A response with an entity tag of its text, so that a client that has it already gets 304 instead (see
/// [`not_modified`]).
pub(crate) struct Tagged<T> {
    json: String,
    of: PhantomData<fn() -> T>,
}

impl<T> Tagged<T> {
    /// The response with the JSON of a `T`.
    pub(crate) fn serialised(json: String) -> Self {
        Self { json, of: PhantomData }
    }
}

impl<T: ToJSON> Tagged<T> {
    /// The response with that value.
    pub(crate) fn new(value: &T) -> Self {
        Self::serialised(value.to_json_string())
    }
}

impl<T: ToJSON> From<Json<T>> for Tagged<T> {
    fn from(json: Json<T>) -> Self {
        Self::new(&json.0)
    }
}

/// The response to a creation: 201, with the `Location` of the new object and, if it has a member `version`, its
/// `ETag`.
pub(crate) struct Created<T> {
    location: String,
    value: T,
}

impl<T> Created<T> {
    /// The response for an object with that path.
    pub(crate) fn at(location: String, value: T) -> Self {
        Self { location, value }
    }
}

impl<T: ToJSON> Created<T> {
    /// The response for an object in the collection with that path, such as `/v1/projects`. The value's JSON must have
    /// a member `id`.
    pub(crate) fn new(collection: &'static str, value: T) -> Self {
        let json = value.to_json().unwrap_or_default();
        Self::at(format!("{collection}/{}", json["id"].as_str().unwrap_or_default()), value)
    }
}

/// The response to a request that is completed in the background: 202, with the `Location` of what to read until it is.
pub(crate) struct Accepted<T> {
    location: String,
    value: T,
}

impl<T> Accepted<T> {
    /// The response for what has that path.
    pub(crate) fn at(location: String, value: T) -> Self {
        Self { location, value }
    }
}

/// The response to a request for something of which the caller sees nothing here, such as a mail: 202, without content.
pub(crate) struct Requested;

/// A response without content: 204.
pub(crate) struct NoContent;

/// The maximum length of `If-None-Match`, in bytes: some thirty of our entity tags.
pub(crate) const MAX_IF_NONE_MATCH: usize = 1000;

const ETAG: &str = "The version, to send back as `If-Match`.";
const TAG: &str = "Identifies this very answer, to send back as `If-None-Match`.";

fn header_meta(name: &str, description: &str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}

fn meta<T: Type>(status: u16, description: &'static str, headers: Vec<MetaHeader>) -> MetaResponses {
    let content =
        vec![MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: <Json<T> as Payload>::schema_ref() }];
    MetaResponses {
        responses: vec![MetaResponse { description, status: Some(status), status_range: None, content, headers }],
    }
}

fn set_etag(response: &mut Response, json: &Value) {
    if let Some(version) = json["version"].as_i64()
        && let Ok(value) = HeaderValue::from_str(&format!("\"{version}\""))
    {
        response.headers_mut().insert(header::ETAG, value);
    }
}

fn set_location(response: &mut Response, location: &str) {
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

impl<T: ToJSON> ApiResponse for Versioned<T> {
    fn meta() -> MetaResponses {
        meta::<T>(200, "", vec![header_meta("ETag", ETAG)])
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON + Send> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let json = self.0.to_json().unwrap_or_default();
        let mut response = poem::web::Json(&json).into_response();
        set_etag(&mut response, &json);
        response
    }
}

impl<T: ToJSON> ApiResponse for Tagged<T> {
    fn meta() -> MetaResponses {
        let mut meta = meta::<T>(200, "", vec![header_meta("ETag", TAG)]);
        meta.responses.push(MetaResponse {
            description: "Not modified: what you have is still right.",
            status: Some(304),
            status_range: None,
            content: Vec::new(),
            headers: vec![header_meta("ETag", TAG)],
        });
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = TextTag::of(self.json.as_bytes());
        let mut response = Response::builder().content_type("application/json; charset=utf-8").body(self.json);
        tag.put(&mut response);
        response
    }
}

/// The entity tag of a response's text. The tag of a [`Versioned`] response does not cover what the platform counts, so a
/// client that has that version may still not have the whole answer.
#[derive(Clone)]
pub(crate) struct TextTag(String);

impl TextTag {
    /// The tag of that text.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self(format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16])))
    }

    /// Gives the response this tag, so that [`not_modified`] knows it.
    pub(crate) fn put(&self, response: &mut Response) {
        Self::set_header(response, &self.0);
        response.set_data(self.clone());
    }

    /// Says that the response is another form of the text that its tag names, if it has one.
    pub(crate) fn weaken(response: &mut Response) {
        if let Some(Self(tag)) = response.data::<Self>().cloned() {
            Self::set_header(response, &format!("W/{tag}"));
        }
    }

    fn set_header(response: &mut Response, tag: &str) {
        if let Ok(value) = HeaderValue::from_str(tag) {
            response.headers_mut().insert(header::ETAG, value);
        }
    }
}

/// Replaces a response that has a [`TextTag`] by 304 if the client has it already: its `If-None-Match` names the tag
/// (RFC 9110, section 13.1.2, compared weakly).
pub(crate) fn not_modified(if_none_match: &[HeaderValue], response: &mut Response) {
    let Some(TextTag(tag)) = response.data::<TextTag>() else { return };
    let values = if_none_match.iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    if tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        response.set_status(StatusCode::NOT_MODIFIED);
        response.set_body(Body::empty());
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
}

impl<T: ToJSON> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        let mut headers = vec![header_meta("Location", "The path of the new resource.")];
        if has_version::<T>() {
            headers.push(header_meta("ETag", ETAG));
        }
        meta::<T>(201, "Created.", headers)
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Whether the schema of `T` has a member `version`.
fn has_version<T: Type>() -> bool {
    Registry::new().create_fake_schema::<T>().properties.iter().any(|(name, _)| *name == "version")
}

impl<T: ToJSON + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let json = self.value.to_json().unwrap_or_default();
        let mut response = poem::web::Json(&json).with_status(StatusCode::CREATED).into_response();
        set_location(&mut response, &self.location);
        set_etag(&mut response, &json);
        response
    }
}

impl<T: ToJSON> ApiResponse for Accepted<T> {
    fn meta() -> MetaResponses {
        let location = header_meta("Location", "The path of what to read until the work is done.");
        meta::<T>(202, "Accepted. The work is done in the background.", vec![location])
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON + Send> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        let mut response = poem::web::Json(self.value.to_json()).with_status(StatusCode::ACCEPTED).into_response();
        set_location(&mut response, &self.location);
        response
    }
}

impl ApiResponse for Requested {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Accepted. A mail is sent in the background, if there is somebody to send it to.",
                status: Some(202),
                status_range: None,
                content: Vec::new(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for Requested {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl ApiResponse for NoContent {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done. There is no content.",
                status: Some(204),
                status_range: None,
                content: Vec::new(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Server-sent events, each with a `T` as JSON in its data.
pub struct Events<T>(BoxStream<'static, Event>, PhantomData<fn() -> T>);

impl<T> Events<T> {
    /// Sends these events.
    pub fn new(events: BoxStream<'static, Event>) -> Self {
        Self(events, PhantomData)
    }
}

/// Described by the schema of one event's data: generators take a stream that is described as a list for one.
impl<T: Type + ToJSON + 'static> Payload for Events<T> {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
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

/// Markdown that is sent piece by piece.
pub struct Markdown(BoxStream<'static, Result<String, std::io::Error>>);

impl Markdown {
    /// Sends these pieces. After an error the connection is aborted, so that no client mistakes a part for the whole.
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

/// JSON objects, one per line, as they are put together.
pub struct Lines(BoxStream<'static, Result<String, std::io::Error>>);

impl Lines {
    /// Sends these pieces, which are whole lines. After an error the connection is cut.
    pub fn new(pieces: BoxStream<'static, Result<String, std::io::Error>>) -> Self {
        Self(pieces)
    }
}

impl Payload for Lines {
    const CONTENT_TYPE: &'static str = "application/x-ndjson";

    /// That of the whole text: a client that took it for one object could not parse it.
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
}

impl IntoResponse for Lines {
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
