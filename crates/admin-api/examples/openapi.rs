//! Writes `docs/openapi.json` anew from the table of calls.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = serde_json::to_string_pretty(&strongroom_admin_api::openapi())?;
    std::fs::write(path, text + "\n")
}
