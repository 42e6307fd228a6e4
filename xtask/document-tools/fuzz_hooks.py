"""What a schema cannot say about a valid request."""

import unicodedata

import schemathesis

# Control and format characters, and the separators of lines and paragraphs: names and titles may not contain any. The
# document says so in words: a pattern on every text would triple the models of some generators.
HIDDEN = {"Cc", "Cf", "Zl", "Zp"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a request that is meant to be valid one that is."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # A cursor is opaque: only the API makes valid ones.
    if case.query:
        case.query.pop("cursor", None)
        for name, value in case.query.items():
            case.query[name] = cleaned(value)
    if case.media_type == "application/json":
        case.body = cleaned(case.body)


def cleaned(value):
    if isinstance(value, str):
        return "".join("." if unicodedata.category(character) in HIDDEN else character for character in value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {name: cleaned(member) for name, member in value.items()}
    return value
