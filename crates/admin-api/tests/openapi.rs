//! The description that is committed is the one the table gives, and it is sound.

use std::path::Path;

use serde_json::Value;
use strongroom_admin_api::{CALLS, openapi};

fn committed() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_committed_description_is_what_the_calls_give() {
    let made = serde_json::to_string_pretty(&openapi()).unwrap() + "\n";
    assert!(
        committed() == made,
        "docs/openapi.json is stale: cargo run -p strongroom-admin-api --example openapi"
    );
}

#[test]
fn every_call_is_described_with_its_parameters_and_the_answer_when_refused() {
    let description: Value = serde_json::from_str(&committed()).unwrap();
    for call in CALLS {
        let operation = &description["paths"][call.path][call.method.name().to_lowercase()];
        assert_eq!(operation["operationId"], call.name);
        assert!(
            operation["summary"].as_str().unwrap().len() > 10,
            "{operation}"
        );
        assert!(operation["responses"]["default"].is_object());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["schema"]["type"] != Value::Null, "{parameter}");
            if parameter["in"] == "path" {
                assert_eq!(parameter["required"], true, "{parameter}");
            }
        }
        let in_path = call.path.matches('{').count();
        let described = operation["parameters"].as_array().into_iter().flatten();
        let described = described.filter(|parameter| parameter["in"] == "path");
        assert_eq!(described.count(), in_path, "{}", call.path);
    }
}

#[test]
fn every_reference_leads_to_a_type() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let description = openapi();
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            description.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}
