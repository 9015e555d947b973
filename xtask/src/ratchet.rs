//! Ratchet: files and functions do not grow past a screenful unnoticed.
//!
//! A wall would punish the honest long table; no rule at all lets every function grow. So what is
//! over the limit today is listed in `xtask/ratchet.toml` with its size, may only shrink, and
//! whatever is not in the list stays under the limit. Adding a line by hand is possible and shows
//! in review.
//!
//! The measure is simple on purpose: lines, and the braces of well-formatted code. A function ends
//! at the closing brace in the column where it began. Test modules at the end of a file do not
//! count as functions, since a test reads from top to bottom.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// A file near this size is telling us that it holds two nouns.
const FILE_LINES_MAX: usize = 1_000;
/// A function longer than this does not fit on a screen.
const FUNCTION_LINES_MAX: usize = 70;
const LIST: &str = "xtask/ratchet.toml";

/// Sizes by name: `path` for a file, `path::function` for a function.
type Sizes = BTreeMap<String, usize>;

/// Compares the code with the list.
pub fn check() -> Result<()> {
    let found = oversized()?;
    let listed = read_list()?;
    let mut faults = Vec::new();
    for (name, lines) in &found {
        match listed.get(name) {
            None => faults.push(format!("{name} has {lines} lines: find the seam")),
            Some(limit) if lines > limit => {
                faults.push(format!("{name} grew from {limit} to {lines} lines"));
            }
            Some(limit) if lines < limit => faults.push(format!(
                "{name} shrank from {limit} to {lines} lines: run `cargo xtask ratchet --write`"
            )),
            Some(_) => {}
        }
    }
    for name in listed.keys().filter(|name| !found.contains_key(*name)) {
        faults.push(format!(
            "{name} fits now: run `cargo xtask ratchet --write`"
        ));
    }
    if !faults.is_empty() {
        bail!(
            "{} size(s) out of line:\n  {}",
            faults.len(),
            faults.join("\n  ")
        );
    }
    println!(
        "ratchet: {} listed exception(s), nothing else over the limits",
        listed.len()
    );
    Ok(())
}

/// Lowers the list to what the code needs. Never adds to it and never raises a size.
pub fn write() -> Result<()> {
    let found = oversized()?;
    let mut text = String::from(
        "# Files over 1000 lines and functions over 70, with their sizes. May only shrink:\n\
         # `cargo xtask ratchet --write` lowers it.\n",
    );
    for (name, limit) in read_list()? {
        if let Some(lines) = found.get(&name) {
            text.push_str(&format!("{name:?} = {}\n", limit.min(*lines)));
        }
    }
    fs::write(root().join(LIST), text).with_context(|| format!("write {LIST}"))
}

fn read_list() -> Result<Sizes> {
    let text = fs::read_to_string(root().join(LIST)).with_context(|| format!("read {LIST}"))?;
    toml::from_str(&text).with_context(|| format!("read {LIST}"))
}

/// Everything over the limits.
fn oversized() -> Result<Sizes> {
    let mut sizes = Sizes::new();
    for path in source_files()? {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path
            .strip_prefix(root())
            .unwrap_or(&path)
            .display()
            .to_string();
        let line_count = text.lines().count();
        if line_count > FILE_LINES_MAX {
            sizes.insert(name.clone(), line_count);
        }
        if name.ends_with(".rs") && !name.contains("/tests/") {
            for (function, lines) in functions(&text) {
                if lines > FUNCTION_LINES_MAX {
                    sizes.insert(format!("{name}::{function}"), lines);
                }
            }
        }
    }
    Ok(sizes)
}

/// The functions outside test modules, with their number of lines from signature to brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with("#[cfg(test)]")
            && lines
                .get(index + 1)
                .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
        {
            break;
        }
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", &line[..indent]);
        let declaration_only = format!("{};", &line[..indent]);
        for (length, later) in lines[index..].iter().enumerate() {
            let body_less = length == 0 && (later.ends_with(';') || later.ends_with('}'));
            let where_less = later.starts_with(&declaration_only);
            if body_less || where_less {
                break;
            }
            if later.trim_end() == end {
                found.push((name, length + 1));
                break;
            }
            // A signature over several lines that ends without a body.
            if length > 0 && later.trim_start().starts_with(')') && later.ends_with(';') {
                break;
            }
        }
    }
    found
}

/// The name of the function whose signature starts in `line`.
fn function_name(line: &str) -> Option<String> {
    const QUALIFIERS: &[&str] = &[
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "extern",
        "unsafe",
        "default",
    ];
    let mut words = line.split_whitespace();
    loop {
        let word = words.next()?;
        if word == "fn" {
            let name = words.next()?;
            let end = name.find(['(', '<']).unwrap_or(name.len());
            return Some(name[..end].to_owned());
        }
        if !QUALIFIERS.contains(&word) {
            return None;
        }
    }
}

/// Rust and Python sources of the project, in order.
pub fn source_files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "tests"] {
        collect(&root().join(folder), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry
            .with_context(|| format!("list {}", folder.display()))?
            .path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, files)?;
        } else if name.ends_with(".rs") || name.ends_with(".py") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_measured_from_signature_to_closing_brace() {
        let text = "impl A {\n    pub(crate) async fn go<T>(\n        x: T,\n    ) {\n        if x {\n        }\n    }\n}\n";
        assert_eq!(functions(text), [("go".to_owned(), 6)]);
    }

    #[test]
    fn a_declaration_without_a_body_is_not_a_function() {
        let text = "trait A {\n    fn a(&self) -> u8;\n    fn b(\n        &self,\n    ) -> u8;\n    fn c() {}\n}\n";
        assert!(functions(text).is_empty());
    }

    #[test]
    fn functions_of_the_test_module_do_not_count() {
        let text = "fn a() {\n}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\n";
        assert_eq!(functions(text), [("a".to_owned(), 2)]);
    }

    #[test]
    fn a_comment_that_mentions_fn_is_not_a_function() {
        assert_eq!(function_name("// the fn of it"), None);
        assert_eq!(function_name("    let f: fn(u8) = g;"), None);
    }
}
