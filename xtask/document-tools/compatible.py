"""Fails when the OpenAPI document breaks clients of the last release, unless its version says so.

    python3 compatible.py openapi.json             against the document at the last version tag, if there is one
    python3 compatible.py openapi.json OLD.json    against another document

What clients rely on may grow and must not shrink: operations, members of answers, codes, values that may be sent. A change
that breaks them needs a higher minor version before 1.0 and a higher major version afterwards. An operation may be removed
by no version unless the last release had marked it as deprecated.
"""

import json
import subprocess
import sys

METHODS = ("get", "put", "post", "delete", "patch")


def breaking(old, new):
    """What breaks clients, and what no version excuses: two lists of sentences."""
    comparison = Comparison(old, new)
    removed = []
    for path, method, operation in operations(old):
        name = operation["operationId"]
        other = new["paths"].get(path, {}).get(method)
        if other is None:
            (comparison.found if operation.get("deprecated") else removed).append(f"{name} was removed")
        elif other["operationId"] != name:
            comparison.found.append(f"{name} is called {other['operationId']} now")
        else:
            comparison.operation(name, operation, other)
    return comparison.found, removed


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


class Comparison:
    def __init__(self, old, new):
        self.old, self.new = old, new
        self.found = []
        self.compared = set()

    def operation(self, name, old, new):
        self.parameters(name, old, new)
        self.body(name, old.get("requestBody"), new.get("requestBody"))
        for status, response in old["responses"].items():
            other = new["responses"].get(status)
            if other is None:
                self.found.append(f"{name} answers {status} no more")
                continue
            self.response(f"{name} {status}", resolve(self.old, response), resolve(self.new, other))
        for status in new["responses"]:
            if status.startswith("2") and status not in old["responses"]:
                self.found.append(f"{name} succeeds with {status}, too")
        role, other = old.get("x-required-role"), new.get("x-required-role")
        ranks = [None, "student", "mentor", "admin"]
        if role != other and (other not in ranks or role not in ranks or ranks.index(other) > ranks.index(role)):
            self.found.append(f"{name} requires the role {other}")

    def parameters(self, name, old, new):
        before = {(p["in"], p["name"]): p for p in (resolve(self.old, p) for p in old.get("parameters", []))}
        after = {(p["in"], p["name"]): p for p in (resolve(self.new, p) for p in new.get("parameters", []))}
        for key, parameter in after.items():
            if parameter.get("required") and not before.get(key, {}).get("required"):
                self.found.append(f"{name} requires the parameter {key[1]}")
        for key, parameter in before.items():
            if key not in after:
                self.found.append(f"{name} has the parameter {key[1]} no more")
            else:
                self.sent(f"{name}: {key[1]}", parameter["schema"], after[key]["schema"])

    def body(self, name, old, new):
        if new is None or old is None:
            if old is not None or (new is not None and new.get("required")):
                self.found.append(f"{name} {'has no body any more' if new is None else 'requires a body'}")
            return
        if new.get("required") and not old.get("required"):
            self.found.append(f"{name} requires a body")
        for kind, content in old["content"].items():
            if kind not in new["content"]:
                self.found.append(f"{name} takes {kind} no more")
            else:
                self.sent(f"{name}: body", content["schema"], new["content"][kind]["schema"])

    def response(self, name, old, new):
        for code in set(old.get("x-codes", [])) - set(new.get("x-codes", [])):
            self.found.append(f"{name} has the code {code} no more")
        for header in old.get("headers", {}):
            if header.lower() not in {other.lower() for other in new.get("headers", {})}:
                self.found.append(f"{name} has the header {header} no more")
        for kind, content in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                self.found.append(f"{name} is {kind} no more")
            else:
                self.answered(f"{name}", content["schema"], new["content"][kind]["schema"])

    def sent(self, name, old, new):
        """A schema of what clients send: what fitted it must fit it still."""
        pair = self.pair("sent", name, old, new)
        if pair is None:
            return
        name, old, new = pair
        self.kinds(name, old, new)
        if "enum" in new:
            for value in old.get("enum", ["any text"]):
                if value not in new["enum"]:
                    self.found.append(f"{name} may be {value} no more")
        if old.get("nullable") and not new.get("nullable"):
            self.found.append(f"{name} may be null no more")
        for bound, is_narrower in BOUNDS.items():
            if bound in new and (bound not in old or is_narrower(new[bound], old[bound])):
                self.found.append(f"{name} has a narrower {bound}: {new[bound]}")
        for bound in ("pattern", "format"):
            if bound in new and old.get(bound) != new[bound]:
                self.found.append(f"{name} has another {bound}: {new[bound]}")
        for member in new.get("required", []):
            if member not in old.get("required", []):
                self.found.append(f"{name}.{member} is required")
        for member, schema in old.get("properties", {}).items():
            if member in new.get("properties", {}):
                self.sent(f"{name}.{member}", schema, new["properties"][member])
            else:
                self.found.append(f"{name}.{member} was removed")
        if "items" in old and "items" in new:
            self.sent(f"{name}[]", old["items"], new["items"])
        self.parts(name, old, new, self.sent)

    def answered(self, name, old, new):
        """A schema of what clients get: they must find all that they found."""
        pair = self.pair("answered", name, old, new)
        if pair is None:
            return
        name, old, new = pair
        self.kinds(name, old, new)
        if "enum" in old:
            for value in new.get("enum", ["any text"]):
                if value not in old["enum"]:
                    self.found.append(f"{name} can be {value}")
        if new.get("nullable") and not old.get("nullable"):
            self.found.append(f"{name} can be null")
        if old.get("format") != new.get("format"):
            self.found.append(f"{name} has another format: {new.get('format')}")
        for member in old.get("required", []):
            if member not in new.get("required", []):
                self.found.append(f"{name}.{member} is not always sent")
        for member, schema in old.get("properties", {}).items():
            if member in new.get("properties", {}):
                self.answered(f"{name}.{member}", schema, new["properties"][member])
            else:
                self.found.append(f"{name}.{member} was removed")
        if "items" in old and "items" in new:
            self.answered(f"{name}[]", old["items"], new["items"])
        self.parts(name, old, new, self.answered)

    def kinds(self, name, old, new):
        if old.get("type") != new.get("type"):
            self.found.append(f"{name} is {new.get('type', 'anything')}, no longer {old.get('type', 'anything')}")

    def parts(self, name, old, new, compare):
        for composition in ("allOf", "oneOf", "anyOf"):
            before, after = old.get(composition, []), new.get(composition, [])
            if len(before) != len(after):
                self.found.append(f"{name} has {len(after)} parts, no longer {len(before)}")
            for one, other in zip(before, after):
                compare(name, one, other)

    def pair(self, direction, name, old, new):
        """Both schemas without references; None if they were compared before. A schema with a name is called by that."""
        if list(old) == ["$ref"]:
            name = old["$ref"].rsplit("/", 1)[-1]
        key = (direction, json.dumps(old), json.dumps(new))
        if "$ref" in key[1] and key in self.compared:
            return None
        self.compared.add(key)
        return name, resolve(self.old, old), resolve(self.new, new)


BOUNDS = {
    **dict.fromkeys(("minimum", "minLength", "minItems"), lambda new, old: new > old),
    **dict.fromkeys(("maximum", "maxLength", "maxItems"), lambda new, old: new < old),
}


def resolve(document, value):
    """What a reference leads to. One in an allOf of its own is one with words beside it."""
    while True:
        alone = value.get("allOf", [])
        if len(alone) == 1:
            beside = {member: v for member, v in value.items() if member in ("nullable",)}
            value = {**resolve(document, alone[0]), **beside}
        elif "$ref" in value:
            target = document
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            value = target
        else:
            return value


def may_break(old, new):
    """Whether the new version says that clients may break."""
    old, new = ([int(number) for number in version.split("-")[0].split(".")] for version in (old, new))
    return new[0] > old[0] or (new[0] == old[0] == 0 and new[1] > old[1])


def last_release():
    """The name of the last version tag and the document as it was then, or None."""
    git = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]
    tag = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    if not tag:
        return None
    text = subprocess.run(["git", "show", f"{tag}:openapi.json"], capture_output=True, text=True, check=True).stdout
    return tag, json.loads(text)


def main(path, other=None):
    with open(path, encoding="utf-8") as file:
        new = json.load(file)
    if other is None:
        release = last_release()
        if release is None:
            print("nothing is released yet, so there are no clients to break")
            return 0
        name, old = release
    else:
        name = other
        with open(other, encoding="utf-8") as file:
            old = json.load(file)
    found, removed = breaking(old, new)
    excused = may_break(old["info"]["version"], new["info"]["version"])
    for sentence in found + removed:
        print(sentence)
    if removed:
        print(f"an operation is marked as deprecated in one release before another removes it; {name} did not")
        return 1
    if found and not excused:
        print(f"this breaks clients of {name}: raise the {'minor' if new['info']['version'].startswith('0.') else 'major'} "
              "version in Cargo.toml, or keep what they use")
        return 1
    print(f"{len(found)} changes since {name} break clients, and the version says so" if found
          else f"clients of {name} are not affected")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
