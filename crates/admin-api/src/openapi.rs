//! The OpenAPI description of the calls, made from their table and from the types they carry.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::calls::{CALLS, Call};
use crate::error::ApiError;
use crate::route::parameter;

/// Version of the interface: the one in the paths.
const VERSION: &str = "1";
/// Where types stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// The description as an OpenAPI 3.1 document.
#[must_use]
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ApiError>();
    let mut paths: Map<String, Value> = Map::new();
    for call in CALLS {
        let methods = paths.entry(call.path).or_insert_with(|| json!({}));
        methods[call.method.name().to_lowercase()] = operation(call, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strongroom administration",
            "version": VERSION,
            "description": "The calls of the administration port. Within a version fields are \
                            added, never renamed or removed: ignore those you do not know.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:9001"}],
        "security": [{"root": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"root": {
                "type": "http",
                "scheme": "basic",
                "description": "Access key and secret key of the root account.",
            }},
            "responses": {"Refused": {
                "description": "The call was refused or failed; code and message say why.",
                "content": {"application/json": {"schema": error}},
            }},
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(call: &Call, generator: &mut SchemaGenerator) -> Value {
    let (summary, details) = call.doc.trim().split_once("\n\n").unwrap_or((call.doc, ""));
    let mut operation = json!({
        "operationId": call.name,
        "summary": one_line(summary),
        "responses": {
            "200": {
                "description": "Done.",
                "content": {"application/json": {"schema": (call.answer)(generator)}},
            },
            "default": {"$ref": "#/components/responses/Refused"},
        },
    });
    if !details.is_empty() {
        operation["description"] = Value::String(one_line(details));
    }
    let parameters = parameters(call, &(call.request)(generator).to_value());
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    operation
}

/// The fields of the request: those in the path's template, and the others in the query.
fn parameters(call: &Call, request: &Value) -> Vec<Value> {
    let in_path: Vec<&str> = call.path.split('/').filter_map(parameter).collect();
    let required = request["required"].as_array().cloned().unwrap_or_default();
    let fields = request["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let mut parameters = Vec::new();
    for (name, mut schema) in fields {
        let description = schema.as_object_mut().and_then(|s| s.remove("description"));
        parameters.push(json!({
            "name": name,
            "in": if in_path.contains(&name.as_str()) { "path" } else { "query" },
            "required": required.contains(&Value::String(name)),
            "description": description,
            "schema": schema,
        }));
    }
    parameters
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
