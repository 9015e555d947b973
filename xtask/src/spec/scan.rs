//! Finding rule ids in tests.
//!
//! The code is not parsed: it is formatted, so a test begins at an attribute or a `def test_` and
//! ends where the indentation returns. The comment lines directly above belong to it. The header
//! of a file that holds nothing but tests belongs to all of them, when there is a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where tests are.
const FOLDERS: &[&str] = &["crates", "tests", "xtask", "specs"];
/// Beginnings of ids: two capital letters and two digits; the attacks have a number.
const LETTERS: usize = 2;
const DIGITS: usize = 2;
const ATTACK: &str = "attack ";

/// All ids that tests below `root` name.
pub fn ids_in_tests(root: &Path) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for folder in FOLDERS {
        for file in files(&root.join(folder))? {
            let read = || format!("read {}", file.display());
            let of = |extension: &str| file.extension().is_some_and(|it| it == extension);
            if file.ends_with("spec/scan.rs") || file.ends_with("src/spec.rs") {
                // Our own tests are full of made-up ids.
                continue;
            }
            if of("rs") {
                collect(
                    &rust_tests(&fs::read_to_string(&file).with_context(read)?),
                    &mut ids,
                );
            } else if of("py") {
                let text = fs::read_to_string(&file).with_context(read)?;
                collect(&python_tests(&text), &mut ids);
            }
        }
    }
    Ok(ids)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        if !folder.is_dir() {
            continue;
        }
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                waiting.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// The text of the tests in a Rust file.
fn rust_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |line: &str| {
        let line = line.trim_start();
        line.starts_with("#[test]")
            || line.starts_with("#[tokio::test")
            || line.starts_with("proptest! {")
    };
    let mut tests = tests_in(&lines, begins, "//");
    if !tests.is_empty() {
        tests.extend(lines.iter().take_while(|line| line.starts_with("//!")));
    }
    tests.join("\n")
}

/// The text of the tests in a Python file.
fn python_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |line: &str| line.trim_start().starts_with("def test_");
    let mut tests = tests_in(&lines, begins, "#");
    if !tests.is_empty() {
        tests.extend(module_docstring(&lines));
    }
    tests.join("\n")
}

/// Each line of each test: from the comments above its first line to where the indentation of that
/// line returns.
fn tests_in<'a>(lines: &[&'a str], begins: impl Fn(&str) -> bool, comment: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !begins(line) {
            continue;
        }
        let indentation = depth(line);
        let above = lines[..index].iter().rev().take_while(|line| {
            let line = line.trim_start();
            line.starts_with(comment) || line.starts_with('@') || line.starts_with("#[")
        });
        found.extend(above.copied());
        found.push(*line);
        let mut in_body = false;
        for line in &lines[index + 1..] {
            let back = !line.trim().is_empty() && depth(line) <= indentation;
            if back && in_body {
                // The closing brace, or the next thing at this depth.
                break;
            }
            in_body |= !line.trim().is_empty() && depth(line) > indentation;
            found.push(*line);
        }
    }
    found
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn module_docstring<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let quotes = "\"\"\"";
    let Some(first) = lines.first().filter(|line| line.starts_with(quotes)) else {
        return Vec::new();
    };
    let mut docstring = vec![*first];
    if first.matches(quotes).count() < 2 {
        let rest = &lines[1..];
        let end = rest.iter().position(|line| line.contains(quotes));
        docstring.extend(rest.iter().take(end.map_or(0, |end| end + 1)));
    }
    docstring
}

/// Adds the ids in `text`. `IN05-IN07` and `IN05 to IN07` are three ids.
fn collect(text: &str, ids: &mut BTreeSet<String>) {
    let words: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    for word in &words {
        ids.extend(rule_id(word));
    }
    for line in text.lines().filter(|line| names_a_function(line)) {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric());
        ids.extend(words.filter_map(|word| rule_id(&word.to_ascii_uppercase())));
        ids.extend(attacks_in_a_name(line));
    }
    for (start, _) in text.match_indices(ATTACK) {
        let rest = &text[start + ATTACK.len()..];
        ids.extend(attack_numbers(rest).map(|number| format!("{ATTACK}{number}")));
    }
    for (start, _) in text.match_indices('-') {
        ids.extend(range(&text[..start], &text[start + 1..]));
    }
}

fn names_a_function(line: &str) -> bool {
    let line = line.trim_start();
    ["fn ", "async fn ", "def "]
        .iter()
        .any(|word| line.starts_with(word))
}

/// `attack_13_and_30_chunks`: 13 and 30.
fn attacks_in_a_name(line: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
    if words.any(|word| word == ATTACK.trim_end()) {
        for word in words.filter(|word| *word != "and") {
            let Ok(number) = word.parse::<u32>() else {
                break;
            };
            ids.push(format!("{ATTACK}{number}"));
        }
    }
    ids
}

/// A rule id. In the name of a function it stands in small letters.
fn rule_id(word: &str) -> Option<String> {
    let (letters, digits) = word.split_at_checked(LETTERS)?;
    let upper = letters.bytes().all(|byte| byte.is_ascii_uppercase());
    let number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    (upper && number).then(|| word.to_owned())
}

/// `11`, `11, 12` and `11 and 12` after the word.
fn attack_numbers(text: &str) -> impl Iterator<Item = u32> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == ',' || c == ' '))
        .unwrap_or(text.len());
    let numbers: Vec<u32> = text[..end]
        .split([',', ' '])
        .filter(|word| !word.is_empty())
        .map_while(|word| word.parse().ok())
        .collect();
    numbers.into_iter()
}

/// The ids between the one that ends `left` and the one that begins `right`.
fn range(left: &str, right: &str) -> Vec<String> {
    let size = LETTERS + DIGITS;
    let from = left.len().checked_sub(size).and_then(|at| left.get(at..));
    let (Some(from), Some(to)) = (from.and_then(rule_id), right.get(..size).and_then(rule_id))
    else {
        return Vec::new();
    };
    let (letters, first) = from.split_at(LETTERS);
    let (other, last) = to.split_at(LETTERS);
    let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
        return Vec::new();
    };
    if letters != other {
        return Vec::new();
    }
    (first..=last)
        .map(|number| format!("{letters}{number:02}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut ids = BTreeSet::new();
        collect(text, &mut ids);
        ids.into_iter().collect()
    }

    #[test]
    fn ids_ranges_and_attacks_are_read() {
        assert_eq!(found("XX01, YY10: a"), ["XX01", "YY10"]);
        assert_eq!(found("XX01-XX03"), ["XX01", "XX02", "XX03"]);
        assert_eq!(found("attack 11, 12: b"), ["attack 11", "attack 12"]);
        let name = "def test_attack_13_and_30_chunks(server):";
        assert_eq!(found(name), ["attack 13", "attack 30"]);
        assert_eq!(found("fn xx01_is_held() {}"), ["XX01"]);
        assert!(found("XX1 XX001 xXX01 SHA256 Ab01").is_empty());
    }

    #[test]
    fn an_id_counts_in_a_rust_test_and_not_beside_it() {
        let text = "//! Header XX01\n\n/// XX02\nfn code() {\n    // XX03\n}\n\n// XX04\n#[test]\n\
                    fn test() {\n    // XX05\n    check();\n}\n\nfn helper() {\n    // XX06\n}\n";
        assert_eq!(found(&rust_tests(text)), ["XX01", "XX04", "XX05"]);
        let code = "//! Header XX01\nfn code() {\n}\n";
        assert!(found(&rust_tests(code)).is_empty(), "no test, no rule");
    }

    #[test]
    fn an_id_counts_in_a_python_test_and_not_beside_it() {
        let text = "\"\"\"Module XX01.\n\nXX02\n\"\"\"\n\n# XX03\nCODE = 1\n\n\n# XX04\n@mark\n\
                    def test_it(s3):\n    \"\"\"XX05\"\"\"\n    check()\n\n\ndef helper():\n    # XX06\n";
        assert_eq!(found(&python_tests(text)), ["XX01", "XX02", "XX04", "XX05"]);
    }
}
