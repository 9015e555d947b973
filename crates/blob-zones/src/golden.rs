//! Writes `testdata/`. Run by hand, once, when a format gets a new number; files that are there stay:
//! `cargo test -p strongroom-blob-zones -- --ignored write_missing_golden_files`

use std::path::Path;

#[test]
#[ignore = "writes to the source tree"]
fn write_missing_golden_files() {
    let files: [(&str, Vec<u8>); 4] = [
        ("block-1.bin", crate::block::tests::sample().1),
        (
            "segment-header-1.bin",
            crate::segment::tests::sample().encode().to_vec(),
        ),
        (
            "place-1.bin",
            crate::place::tests::sample().encode().0.to_vec(),
        ),
        (
            "footer-1.bin",
            crate::footer::encode_footer(10, 7, b"who").to_vec(),
        ),
    ];
    for (name, bytes) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(name);
        // An empty file is what makes `include_bytes` compile before the first run.
        if std::fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            std::fs::write(path, bytes).unwrap();
        }
    }
}
