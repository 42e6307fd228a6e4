use serde_json::json;

use super::*;

fn schema(schema: Value) -> Schema {
    Schema::new(schema).unwrap()
}

fn faults(schema: &Schema, value: Value) -> Vec<Fault> {
    schema.check(&Json { value, duplicates: Duplicates::default() })
}

/// Pointers and codes.
fn wrong(schema: &Schema, value: Value) -> Vec<(String, &'static str)> {
    faults(schema, value).into_iter().map(|fault| (fault.pointer, fault.code.name())).collect()
}

fn expected<'a>(faults: &[(&str, &'a str)]) -> Vec<(String, &'a str)> {
    faults.iter().map(|(pointer, code)| ((*pointer).to_owned(), *code)).collect()
}

/// Code and message of the one fault of a value.
#[expect(clippy::needless_pass_by_value, reason = "json!(..) is what callers write")]
fn said_of(rule: Value, value: Value) -> (&'static str, String) {
    let mut faults = faults(&schema(rule.clone()), value.clone());
    assert_eq!(faults.len(), 1, "{rule} of {value}: {faults:?}");
    let fault = faults.remove(0);
    assert_eq!(fault.pointer, "", "{rule} of {value}");
    (fault.code.name(), fault.message)
}

fn fits(rule: &Value, value: &Value) -> bool {
    faults(&schema(rule.clone()), value.clone()).is_empty()
}

#[test]
fn every_wrong_member_is_named_in_the_order_of_the_document() {
    let schema = schema(json!({
        "type": "object",
        "required": ["name", "age"],
        "properties": {
            "name": {"type": "string", "maxLength": 3},
            "age": {"type": "integer", "minimum": 0},
            "id": {"type": ["string", "null"], "format": "uuid"},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "color": {"$ref": "#/$defs/color"},
        },
        "additionalProperties": false,
        "$defs": {"color": {"type": "string", "pattern": COLOR_PATTERN}},
    }));
    assert_eq!(wrong(&schema, json!({"name": "Bob", "age": 3, "id": null, "kind": "a", "tags": ["x"]})), []);
    assert_eq!(wrong(&schema, json!([])), expected(&[("", "wrong_type")]));
    assert_eq!(wrong(&schema, json!({"name": "Bobby"})), expected(&[("/age", "required"), ("/name", "too_long")]));
    assert_eq!(
        wrong(&schema, json!({"tags": ["x", 1], "name": 5, "color": "red", "age": 1.5, "x": {"y": "\0"}, "kind": "c"})),
        expected(&[
            ("/tags/1", "wrong_type"),
            ("/name", "wrong_type"),
            ("/color", "malformed"),
            ("/age", "wrong_type"),
            ("/x", "unknown"),
            ("/kind", "not_allowed"),
        ])
    );
    assert_eq!(
        wrong(&schema, json!({"name": null, "age": -1, "id": "x", "kind": 1})),
        expected(&[("/name", "wrong_type"), ("/age", "too_small"), ("/id", "malformed"), ("/kind", "wrong_type")])
    );
}

#[test]
fn messages_say_what_is_allowed() {
    for (rule, value, code, message) in [
        (json!({"type": "string"}), json!(5), "wrong_type", "A string is expected; put it in quotes."),
        (json!({"type": "string"}), json!(null), "wrong_type", "A string is expected, not null."),
        (json!({"type": ["integer", "null"]}), json!("5"), "wrong_type", "A whole number is expected."),
        (json!({"type": "boolean"}), json!("yes"), "wrong_type", "True or false is expected."),
        (json!({"type": ["array", "object"]}), json!(1), "wrong_type", "An array or an object is expected."),
        (json!({"minLength": 1}), json!(""), "too_short", "At least 1 character is expected."),
        (json!({"maxLength": 3}), json!("четыре"), "too_long", "At most 3 characters are allowed."),
        (json!({"minItems": 2}), json!([1]), "too_few", "At least 2 items are expected."),
        (json!({"maxItems": 1}), json!([1, 2]), "too_many", "At most 1 item is allowed."),
        (json!({"minProperties": 1}), json!({}), "too_few", "At least 1 member is expected."),
        (json!({"minimum": 16.0}), json!(15), "too_small", "At least 16 is expected."),
        (json!({"maximum": 0.5}), json!(0.6), "too_large", "At most 0.5 is allowed."),
        (json!({"exclusiveMinimum": 0.0}), json!(0), "too_small", "More than 0 is expected."),
        (json!({"exclusiveMaximum": 1}), json!(1), "too_large", "Less than 1 is expected."),
        (json!({"multipleOf": 5}), json!(7), "invalid", "A multiple of 5 is expected."),
        (json!({"enum": ["a", "b", null]}), json!("c"), "not_allowed", "One of \"a\", \"b\" is expected."),
        (json!({"const": 1}), json!(2), "not_allowed", "1 is expected."),
        (json!({"pattern": "^[0-9]$"}), json!("x"), "malformed", "Text that matches ^[0-9]$ is expected."),
        (json!({"uniqueItems": true}), json!([1, 1]), "duplicate", "Items that differ from each other are expected."),
        (json!({"format": "email"}), json!("x"), "malformed", "An email address is expected."),
        (json!({"not": {"type": "string"}}), json!("x"), "invalid", "A value as documented is expected."),
        (json!({"format": "int32"}), json!(2_147_483_648_i64), "too_large", "At most 2147483647 is allowed."),
    ] {
        assert_eq!(said_of(rule, value), (code, message.to_owned()));
    }
}

#[test]
fn the_nearest_name_of_an_unknown_member_is_told() {
    let schema = schema(json!({
        "$ref": "#/$defs/Course",
        "$defs": {"Course": {
            "properties": {"title": {}, "summary": {}},
            "additionalProperties": false,
        }},
    }));
    let message = |name: &str| faults(&schema, json!({name: 1})).remove(0).message;
    assert_eq!(message("titel"), "There is no such member; is title meant?");
    assert_eq!(message("Title"), "There is no such member; is title meant?");
    assert_eq!(message("heading"), "There is no such member; known are title, summary.");
}

#[test]
fn formats_are_checked() {
    for (format, right, wrong) in [
        (
            "uuid",
            vec!["0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d05", "0198C2F0-7A53-7CC1-9D2E-3F6B8A1C5D05"],
            vec!["", "x", "0198c2f07a537cc19d2e3f6b8a1c5d05", "{0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d05}"],
        ),
        (
            "date-time",
            vec!["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123456+02:00"],
            vec![
                "",
                "2026-03-01",
                "2026-03-01T12:00:00",
                "2026-02-30T12:00:00Z",
                "2026-03-01T25:00:00Z",
                "0001-01-01T00:00:00+00:01",
                "9999-12-31T23:59:59-00:01",
            ],
        ),
        ("uri", vec!["https://a.example/b?c#d", "mailto:a@b.example"], vec!["", "a b", "/relative", "https://a b"]),
        ("email", vec!["a@b.example", "a.b+c@d.example"], vec!["", "a", "@b.example", "a@", "a b@c.example"]),
    ] {
        let rule = json!({"type": "string", "format": format});
        for text in right {
            assert!(fits(&rule, &json!(text)), "{format}: {text}");
        }
        for text in wrong {
            assert_eq!(said_of(rule.clone(), json!(text)).0, "malformed", "{format}: {text}");
        }
    }
}

#[test]
fn formats_of_integers_bound_them() {
    for (format, least, most) in [
        ("int16", json!(i16::MIN), json!(i16::MAX)),
        ("int32", json!(i32::MIN), json!(i32::MAX)),
        ("int64", json!(i64::MIN), json!(i64::MAX)),
        ("uint32", json!(0), json!(u32::MAX)),
        ("uint64", json!(0), json!(u64::MAX)),
    ] {
        let rule = json!({"type": "integer", "format": format});
        assert!(fits(&rule, &least) && fits(&rule, &most), "{format}");
        let (below, above) = match format {
            "int64" => (json!(-9.3e18), json!(9_223_372_036_854_775_808_u64)),
            "uint64" => (json!(-1), json!(1.9e19)),
            _ => (json!(least.as_i64().unwrap() - 1), json!(most.as_i64().unwrap() + 1)),
        };
        assert_eq!(said_of(rule.clone(), below).0, "too_small", "{format}");
        assert_eq!(said_of(rule, above).0, "too_large", "{format}");
    }
    let rule = json!({"type": "integer", "format": "int32", "minimum": 1});
    assert_eq!(said_of(rule, json!(0)), ("too_small", "At least 1 is expected.".to_owned()));
}

#[test]
fn patterns_mean_what_they_say() {
    let matches = |pattern: &str, text: &str| fits(&json!({"type": "string", "pattern": pattern}), &json!(text));
    for (text, slug) in [
        ("a-b2", true),
        ("2026", true),
        ("a--b", false),
        ("-a", false),
        ("a-", false),
        ("A", false),
        ("", false),
        ("é", false),
        ("a\n", false),
    ] {
        assert_eq!(matches(SLUG_PATTERN, text), slug, "{text}");
    }
    for (text, url) in [
        ("https://a", true),
        ("http://a/b?c", true),
        ("https://", false),
        ("ftp://a", false),
        ("https://a b", false),
        ("https://a\u{3000}", false),
        ("https://a\n", false),
        ("javascript:alert(1)", false),
    ] {
        assert_eq!(matches(URL_PATTERN, text), url, "{text}");
    }
    for (text, color) in
        [("#00ff99", true), ("#00FF99", false), ("#00ff9", false), ("00ff99", false), ("#00ff9g", false)]
    {
        assert_eq!(matches(COLOR_PATTERN, text), color, "{text}");
    }
}

#[test]
fn patterns_that_would_need_backtracking_are_refused() {
    for pattern in ["(?=a)b", r"(a)\1", "(?<!a)b"] {
        assert!(Schema::new(json!({"pattern": pattern})).is_err(), "{pattern}");
    }
}

#[test]
fn control_characters_are_found_wherever_they_hide() {
    let any = schema(json!({}));
    assert_eq!(
        wrong(&any, json!({"a/b": ["x\0"], "c\0": 1, "d\u{7}": "\u{1b}", "e": "\t\r\n", "f": ["\u{85}", "\u{7f}"]})),
        expected(&[
            ("/a~1b/0", "nul_character"),
            ("/c\0", "nul_character"),
            ("/d\u{7}", "control_character"),
            ("/d\u{7}", "control_character"),
            ("/f/0", "control_character"),
            ("/f/1", "control_character"),
        ])
    );
    assert_eq!(
        said_of(json!({}), json!("a\u{7}")).1,
        "The control character U+0007 is not allowed; tab, newline and carriage return are."
    );
}

#[test]
fn repeated_members_are_faults() {
    let schema = schema(json!({"properties": {"a": {"properties": {"b": {"type": "string"}}}}}));
    let json = Json::parse(br#"{"a": {"b": "x", "c": 1, "b": 2, "b": 3}, "a": {"b": 4}, "c": {}}"#).unwrap();
    let faults: Vec<_> = schema.check(&json).into_iter().map(|fault| (fault.pointer, fault.code.name())).collect();
    assert_eq!(faults, expected(&[("/a", "duplicate"), ("/a/b", "duplicate"), ("/a/b", "wrong_type")]));
}

#[test]
fn of_several_alternatives_the_one_that_was_meant_is_told() {
    let tagged = |tag: &str, rule: Value| json!({"type": "object", "required": ["type"], "properties": {"type": {"enum": [tag]}, "value": rule}});
    let schema = schema(json!({"properties": {
        "slug": {"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]},
        "tagged": {"oneOf": [tagged("text", json!({"type": "string"})), tagged("number", json!({"type": "number"}))]},
        "either": {"anyOf": [{"type": "string", "minLength": 5}, {"type": "string", "pattern": "^x"}]},
    }}));
    assert_eq!(wrong(&schema, json!({"slug": null, "tagged": {"type": "text", "value": "x"}, "either": "x"})), []);
    assert_eq!(
        wrong(&schema, json!({"slug": "x", "tagged": {"type": "text", "value": 1}, "either": "y"})),
        expected(&[("/slug", "too_short"), ("/tagged/value", "wrong_type"), ("/either", "invalid")])
    );
    assert_eq!(
        wrong(&schema, json!({"slug": 5, "tagged": {"type": "other"}, "either": 5})),
        expected(&[("/slug", "wrong_type"), ("/tagged", "invalid"), ("/either", "wrong_type")])
    );
    assert_eq!(faults(&schema, json!({"slug": 5}))[0].message, "A string is expected; put it in quotes.");
}

#[test]
fn names_and_titles_contain_nothing_that_cannot_be_seen() {
    let schema = schema(json!({}));
    for hidden in ["\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "\u{2028}", "\n", "\t"] {
        let text = format!("before{hidden}after");
        for name in ["title", "name", "term", "first_name", "last_name"] {
            let faults = wrong(&schema, json!({"a": [{name: text}]}));
            assert_eq!(faults, expected(&[(&format!("/a/0/{name}"), "hidden_character")]), "{hidden:?}");
        }
        assert_eq!(wrong(&schema, json!({"tags": ["a", text]})), expected(&[("/tags/1", "hidden_character")]));
        // Texts of several lines in any script may contain them.
        assert_eq!(wrong(&schema, json!({"description": text, "title": {"x": text}})), []);
    }
    assert_eq!(wrong(&schema, json!({"title": "a\u{7}"})), expected(&[("/title", "control_character")]));
    assert_eq!(wrong(&schema, json!({"title": "می\u{200c}خواهم 👩\u{200d}💻", "name": null})), []);
}

#[test]
fn the_list_of_faults_is_bounded() {
    let schema = schema(json!({"type": "array", "items": {"type": "string"}}));
    let faults = wrong(&schema, json!(vec![1; 1000]));
    assert_eq!(faults.len(), MAX_FAULTS);
    assert_eq!(faults.last().unwrap().0, "/19");
}

#[test]
fn codes_are_named_in_snake_case() {
    let names: Vec<&str> = FaultCode::all().map(FaultCode::name).collect();
    assert_eq!(names[..3], ["required", "unknown", "duplicate"]);
    assert!(names.contains(&"control_character"));
}
