"""Each case is a change to a document and what is said of it."""

import copy
import json
import unittest

from compatible import breaking, may_break

DOCUMENT = {
    "paths": {"/things": {"post": {
        "operationId": "createThing",
        "x-required-role": "student",
        "parameters": [{"name": "kind", "in": "query", "schema": {"$ref": "#/components/schemas/Kind"}}],
        "requestBody": {"required": True, "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/NewThing"}}}},
        "responses": {
            "201": {"headers": {"Location": {}}, "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Thing"}}}},
            "409": {"x-codes": ["taken", "closed"]},
        },
    }}},
    "components": {"schemas": {
        "Kind": {"type": "string", "enum": ["a", "b"]},
        "NewThing": {"type": "object", "required": ["title"], "properties": {
            "title": {"type": "string", "maxLength": 100},
            "kind": {"allOf": [{"$ref": "#/components/schemas/Kind"}], "nullable": True}}},
        "Thing": {"type": "object", "required": ["title", "parts"], "properties": {
            "title": {"type": "string"},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}}},
    }},
}


def change(edit):
    document = copy.deepcopy(DOCUMENT)
    edit(document, document["paths"]["/things"]["post"], document["components"]["schemas"])
    return breaking(DOCUMENT, document)


class Compatible(unittest.TestCase):
    def test_nothing_changed(self):
        self.assertEqual(change(lambda document, operation, schemas: None), ([], []))

    def test_additions_are_compatible(self):
        def edit(document, operation, schemas):
            document["paths"]["/others"] = {"get": {"operationId": "listOthers", "responses": {}}}
            operation["parameters"].append({"name": "color", "in": "query", "schema": {"type": "string"}})
            operation["responses"]["409"]["x-codes"].append("late")
            operation["responses"]["410"] = {}
            schemas["NewThing"]["properties"]["color"] = {"type": "string"}
            schemas["NewThing"]["properties"]["title"]["maxLength"] = 200
            schemas["Thing"]["properties"]["color"] = {"type": "string"}
        self.assertEqual(change(edit), ([], []))

    def expect(self, edit, *found):
        self.assertEqual(change(edit), (list(found), []))

    def test_operations(self):
        def remove(document, operation, schemas):
            document["paths"] = {}
        self.assertEqual(change(remove), ([], ["createThing was removed"]))
        deprecated = json.loads(json.dumps(DOCUMENT))
        deprecated["paths"]["/things"]["post"]["deprecated"] = True
        self.assertEqual(breaking(deprecated, {"paths": {}}), (["createThing was removed"], []))
        self.expect(lambda d, o, s: o.update(operationId="makeThing"), "createThing is called makeThing now")
        self.expect(lambda d, o, s: o.update({"x-required-role": "admin"}), "createThing requires the role admin")

    def test_requests(self):
        self.expect(lambda d, o, s: s["NewThing"]["required"].append("kind"), "NewThing.kind is required")
        self.expect(lambda d, o, s: s["NewThing"]["properties"]["title"].update(maxLength=50),
                    "NewThing.title has a narrower maxLength: 50")
        self.expect(lambda d, o, s: s["NewThing"]["properties"]["kind"].pop("nullable"),
                    "NewThing.kind may be null no more")
        self.expect(lambda d, o, s: s["Kind"]["enum"].remove("b"), "Kind may be b no more", "NewThing.kind may be b no more")
        self.expect(lambda d, o, s: o["parameters"][0].update(required=True), "createThing requires the parameter kind")
        self.expect(lambda d, o, s: o["parameters"].clear(), "createThing has the parameter kind no more")

    def test_answers(self):
        self.expect(lambda d, o, s: s["Thing"]["required"].remove("title"), "Thing.title is not always sent")
        self.expect(lambda d, o, s: s["Thing"]["properties"]["title"].update(nullable=True), "Thing.title can be null")
        self.expect(lambda d, o, s: s["Thing"]["properties"]["title"].update(type="integer"),
                    "Thing.title is integer, no longer string")
        self.expect(lambda d, o, s: s["Thing"]["properties"].pop("parts"), "Thing.parts was removed")
        self.expect(lambda d, o, s: o["responses"].pop("409"), "createThing answers 409 no more")
        self.expect(lambda d, o, s: o["responses"]["409"]["x-codes"].remove("taken"),
                    "createThing 409 has the code taken no more")
        self.expect(lambda d, o, s: o["responses"]["201"]["headers"].clear(), "createThing 201 has the header Location no more")

    def test_versions(self):
        self.assertTrue(may_break("0.1.3", "0.2.0"))
        self.assertFalse(may_break("0.1.3", "0.1.4"))
        self.assertTrue(may_break("0.9.0", "1.0.0"))
        self.assertTrue(may_break("1.2.0", "2.0.0"))
        self.assertFalse(may_break("1.2.0", "1.3.0"))


if __name__ == "__main__":
    unittest.main()
