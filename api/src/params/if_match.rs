//! The `If-Match` header, with which an update names the version that it changes.

use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::Problem;

/// The version that the client has seen and wants to change. Handlers take it as
/// `#[oai(name = "If-Match")] version: IfMatch`. A request without the header gets 428. If the version is not the
/// current one, the domain refuses the change, and the request gets 412.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub i64);

impl IfMatch {
    /// Parses the version from a header, which must be a single strong entity tag in the format of this API.
    fn parse(value: &str) -> Option<Self> {
        let digits = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        let is_version = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_version).map(Self)
    }
}

impl<'a> ApiExtractor<'a> for IfMatch {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;
    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("The ETag of the version to change, such as `\"3\"`."),
            max_length: Some(20),
            // As many digits as a version can have whatever they are.
            pattern: Some(r#"^"[1-9][0-9]{0,17}"$"#.to_owned()),
            ..MetaSchema::new("string")
        })))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        let mut values = request.headers().get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Err(Problem::precondition_required().into()) };
        let version = value.to_str().ok().and_then(Self::parse).filter(|_| values.next().is_none());
        Ok(version.ok_or_else(|| {
            Problem::invalid_parameter(
                options.name,
                "malformed",
                "One ETag of this resource is expected, such as \"3\".",
            )
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_strong_entity_tag() {
        assert_eq!(IfMatch::parse("\"7\""), Some(IfMatch(7)));
        for bad in
            ["7", "\"\"", "\"0\"", "\"07\"", "W/\"7\"", "*", "\"7\", \"8\"", "\"+7\"", "\"99999999999999999999\""]
        {
            assert_eq!(IfMatch::parse(bad), None, "{bad}");
        }
    }
}
