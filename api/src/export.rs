//! Exports of rows as CSV or NDJSON: streamed, so that they can be of any size in little memory.

use std::future::Future;
use std::marker::PhantomData;

use cairn_core::actor::{Caller, Role};
use cairn_core::db::{Purpose, within};
use cairn_core::users::sessions;
use cairn_core::users::tokens::TokenSubject;
use cairn_core::{Error, Result};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem::http::{HeaderValue, header};
use poem::{Body, FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Enum};
use sqlx::PgConnection;

use crate::{App, Problem};

const CSV: &str = "text/csv; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";

/// The form of an answer with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum ExportFormat {
    /// Comma-separated values with a line of names first. Text that a spreadsheet would take for a formula begins with an
    /// apostrophe.
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

/// What the `Accept` header asks for; `None` if that is neither CSV nor NDJSON.
pub(crate) struct Accepted(Option<ExportFormat>);

impl Accepted {
    /// The form of the answer: `?format=` counts before the header.
    pub(crate) fn format(&self, parameter: Option<ExportFormat>) -> Option<ExportFormat> {
        parameter.or(self.0)
    }
}

impl<'a> FromRequest<'a> for Accepted {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let types = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let known = |media_type: &str| match media_type.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Some(ExportFormat::Csv)),
            NDJSON => Some(Some(ExportFormat::Ndjson)),
            "application/json" => Some(None),
            _ => None,
        };
        Ok(Self(types.split(',').find_map(known).flatten()))
    }
}

/// A row of an export.
pub(crate) trait Row: ToJSON + Send + 'static {
    /// The names of the columns of the CSV.
    const COLUMNS: &'static [&'static str];

    /// The values, one for each column.
    fn cells(&self) -> Vec<Cell>;
}

/// A value in a CSV.
pub(crate) enum Cell {
    /// Written by people, so it can hold anything.
    Text(String),
    /// A number, an id, a time: nothing that needs care.
    Plain(String),
    /// No value.
    Empty,
}

impl Cell {
    /// Something that needs no care; empty if there is nothing.
    pub(crate) fn plain(value: Option<impl ToString>) -> Self {
        value.map_or(Self::Empty, |value| Self::Plain(value.to_string()))
    }

    /// A text; empty if there is none.
    pub(crate) fn text(value: Option<String>) -> Self {
        value.map_or(Self::Empty, Self::Text)
    }

    fn write(&self, line: &mut String) {
        match self {
            Self::Empty => {}
            Self::Plain(value) => line.push_str(value),
            Self::Text(text) => {
                line.push('"');
                // Spreadsheets evaluate cells that begin so, even quoted ones.
                if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                    line.push('\'');
                }
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            }
        }
    }
}

/// Where the rows of an export come from.
pub(crate) trait Source: Send + 'static {
    /// A row.
    type Row: Row;

    /// The next rows; none at the end.
    fn next(&mut self, connection: &mut PgConnection) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;
}

/// An answer with all rows of a [`Source`]. `T` is the object on each line of NDJSON.
pub(crate) struct Export<T> {
    format: ExportFormat,
    name: &'static str,
    pieces: BoxStream<'static, std::io::Result<String>>,
    row: PhantomData<fn() -> T>,
}

impl<T: Row> Export<T> {
    /// Starts an export for an admin. `name` is a suggested file name without its extension. A failure before the first piece
    /// is answered with a problem; after it the connection is cut, so that nobody takes the part for the whole.
    pub(crate) async fn start<S: Source<Row = T>>(
        app: &App,
        caller: &Caller,
        format: ExportFormat,
        name: &'static str,
        source: S,
    ) -> Result<Self, Problem> {
        let mut rows = Rows { app: app.clone(), caller: caller.clone(), format, source, is_begun: false };
        let first = rows.next_piece().await?;
        let pieces = stream::iter(first.map(Ok)).chain(rows.into_pieces()).boxed();
        Ok(Self { format, name, pieces, row: PhantomData })
    }
}

struct Rows<S> {
    app: App,
    caller: Caller,
    format: ExportFormat,
    source: S,
    is_begun: bool,
}

impl<S: Source> Rows<S> {
    /// The pieces in order. The next is read only when the one before has been sent, and no connection to the database is
    /// held in between.
    fn into_pieces(self) -> BoxStream<'static, std::io::Result<String>> {
        let pieces = stream::try_unfold(self, async |mut rows| match rows.next_piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, rows))),
            Err(error) => {
                tracing::error!(error = %error, "an export was cut");
                Err(std::io::Error::other("the export failed"))
            }
        });
        pieces.boxed()
    }

    async fn next_piece(&mut self) -> Result<Option<String>> {
        within(Purpose::Requests.limits().hold, self.read_piece()).await
    }

    async fn read_piece(&mut self) -> Result<Option<String>> {
        let mut connection = self.app.db.acquire().await?;
        check_still_admin(&self.app, &self.caller, &mut connection).await?;
        let rows = self.source.next(&mut connection).await?;
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if rows.is_empty() && !is_first {
            return Ok(None);
        }
        Ok(Some(written(self.format, &rows, is_first)))
    }
}

/// An export may take long: it ends when the caller is no longer an admin.
pub(crate) async fn check_still_admin(app: &App, caller: &Caller, connection: &mut PgConnection) -> Result<()> {
    let subject = TokenSubject { user_id: caller.user_id, session_id: caller.session_id };
    let access = sessions::authenticate(connection, subject, app.now()).await?;
    if access.is_none_or(|access| access.role < Role::Admin) {
        return Err(Error::message("the caller's session has ended"));
    }
    Ok(())
}

fn written<R: Row>(format: ExportFormat, rows: &[R], is_first: bool) -> String {
    let mut text = String::new();
    match format {
        ExportFormat::Ndjson => {
            for row in rows {
                text.push_str(&row.to_json().unwrap_or_default().to_string());
                text.push('\n');
            }
        }
        ExportFormat::Csv => {
            if is_first {
                text.push_str(&R::COLUMNS.join(","));
                text.push_str("\r\n");
            }
            for row in rows {
                for (index, cell) in row.cells().iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    cell.write(&mut text);
                }
                text.push_str("\r\n");
            }
        }
    }
    text
}

fn media_types<T: Type>() -> Vec<MetaMediaType> {
    let text = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
    vec![
        MetaMediaType { content_type: CSV, schema: text },
        MetaMediaType { content_type: NDJSON, schema: T::schema_ref() },
    ]
}

fn meta(content: Vec<MetaMediaType>) -> MetaResponses {
    let description = "The rows. NDJSON has one such object on each line. If the connection is closed early, the rest is \
                       missing.";
    MetaResponses {
        responses: vec![MetaResponse {
            description,
            status: Some(200),
            status_range: None,
            content,
            // Not with JSON, which is no file.
            headers: vec![MetaHeader {
                name: "Content-Disposition".to_owned(),
                description: Some("A suggested name for the file.".to_owned()),
                required: false,
                deprecated: false,
                schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
            }],
        }],
    }
}

impl<T: Type> ApiResponse for Export<T> {
    fn meta() -> MetaResponses {
        meta(media_types::<T>())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T> IntoResponse for Export<T> {
    fn into_response(self) -> Response {
        let (content_type, extension) = match self.format {
            ExportFormat::Csv => (CSV, "csv"),
            ExportFormat::Ndjson => (NDJSON, "ndjson"),
        };
        let mut response = Response::builder().content_type(content_type).body(Body::from_bytes_stream(self.pieces));
        if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{}.{extension}\"", self.name)) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
        response
    }
}

/// JSON, or the same rows as an export if the client asks for it.
pub(crate) enum JsonOrExport<J, T> {
    /// JSON.
    Json(Json<J>),
    /// CSV or NDJSON.
    Export(Export<T>),
}

impl<J: Type + ToJSON, T: Type> ApiResponse for JsonOrExport<J, T> {
    fn meta() -> MetaResponses {
        let json = MetaMediaType { content_type: Json::<J>::CONTENT_TYPE, schema: <Json<J> as Payload>::schema_ref() };
        meta(std::iter::once(json).chain(media_types::<T>()).collect())
    }

    fn register(registry: &mut Registry) {
        J::register(registry);
        T::register(registry);
    }
}

impl<J: ToJSON + Send, T: Send> IntoResponse for JsonOrExport<J, T> {
    fn into_response(self) -> Response {
        match self {
            Self::Json(json) => json.into_response(),
            Self::Export(export) => export.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> String {
        let mut line = String::new();
        Cell::Text(text.to_owned()).write(&mut line);
        line
    }

    #[test]
    fn a_spreadsheet_takes_no_text_for_a_formula() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("=1+1", "\"'=1+1\""),
            ("+7 900", "\"'+7 900\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("a \"b\", c\nd", "\"a \"\"b\"\", c\nd\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
