//! Collects what the document says of parameters, in the form in which requests are checked against it.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::bodies::refer;
use super::{json_schema, object};
use crate::parameters::Parameters;

/// The parameters of all operations, by operation id.
pub(super) fn all(document: &Value) -> HashMap<String, Parameters> {
    let mut all = HashMap::new();
    for (path, item) in object(&document["paths"]) {
        for (_, operation) in object(item) {
            let described = operation["parameters"].as_array().cloned().unwrap_or_default();
            let schema = schema(&described, &document["components"]["schemas"]);
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            all.insert(id, Parameters { path: path.clone(), described, schema, compiled: OnceLock::new() });
        }
    }
    all
}

/// A schema of an object that has the parameters as its members.
fn schema(described: &[Value], schemas: &Value) -> Value {
    let (mut properties, mut required, mut names) = (Map::new(), Vec::new(), BTreeSet::new());
    for parameter in described {
        let name = parameter["name"].as_str().unwrap_or_default();
        properties.insert(name.to_owned(), parameter["schema"].clone());
        refer(&parameter["schema"], schemas, &mut names);
        if parameter["required"] == true {
            required.push(name);
        }
    }
    let schemas: Map<_, _> = names.into_iter().map(|name| (name.clone(), schemas[&name].clone())).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "components": {"schemas": schemas},
    });
    json_schema::convert(&mut schema);
    schema
}

#[cfg(test)]
mod tests {
    use cairn_core::schema::Schema;

    use crate::openapi::CONTRACT;

    #[test]
    fn the_schemas_of_all_parameters_can_be_compiled() {
        for (operation, parameters) in &CONTRACT.parameters {
            let compiled = Schema::new(parameters.schema.clone());
            assert!(compiled.is_ok(), "{operation}: {compiled:?}");
        }
    }
}
