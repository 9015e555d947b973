//! Where settings come from: the file and the environment, each read into a [`Layer`].
//!
//! A setting whose name we do not know is never ignored: it may be the misspelt one that protects
//! the data. It stops the start by name, with the nearest name we do know.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::{Args, FromArgMatches};

use super::{BadSettings, Layer, accounts};

/// Every environment variable of ours starts so.
const PREFIX: &str = "STRONGROOM_";
/// Variables with our prefix that are no settings: the file's name, and the secrets, which stand
/// neither on a command line nor in a file that is shown around.
const VARIABLES_OTHER: [&str; 3] = ["config", "access_key", "secret_key"];

/// The environment, as a value so that tests can make one.
pub type Environment = BTreeMap<String, OsString>;

/// The variables of this process whose names are text.
#[must_use]
pub fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .collect()
}

/// Names of all settings, as in the file.
fn setting_names() -> Vec<String> {
    let command = Layer::augment_args(clap::Command::new("settings"));
    command
        .get_arguments()
        .map(|arg| arg.get_id().to_string())
        .collect()
}

/// Reads the file.
///
/// # Errors
/// When it cannot be read, is no TOML, or names or sets something wrongly.
pub fn layer_from_file(path: &Path) -> Result<Layer, BadSettings> {
    let mut table = table_from_file(path)?;
    // They have no form but in the file, and a module of their own.
    table.remove(accounts::TABLE);
    layer_from_table(&table)
        .map_err(|error| BadSettings(format!("in {}: {}", path.display(), error.0)))
}

/// Reads the file as TOML.
///
/// # Errors
/// When it cannot be read or is no TOML.
pub fn table_from_file(path: &Path) -> Result<toml::Table, BadSettings> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        BadSettings(format!(
            "cannot read the settings file {shown}: {error}; check --config"
        ))
    })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start].lines().count().max(1));
        BadSettings(format!(
            "{shown}, line {line}, is not TOML: {}",
            one_line(error.message())
        ))
    })
}

fn layer_from_table(table: &toml::Table) -> Result<Layer, BadSettings> {
    let names = setting_names();
    for (name, value) in table {
        if name == "access_key" || name == "secret_key" {
            return Err(BadSettings(format!(
                "{name} may not stand in the settings file: put it into a file only you can read \
                 and set {name}_file to its path"
            )));
        }
        if !names.contains(name) {
            let mut names = names;
            names.push(accounts::TABLE.to_owned());
            return Err(unknown("setting", name, &names));
        }
        let mut single = toml::Table::new();
        single.insert(name.clone(), value.clone());
        single
            .try_into::<Layer>()
            .map_err(|error| BadSettings(format!("{name}: {}", one_line(error.message()))))?;
    }
    table
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| BadSettings(one_line(error.message())))
}

/// Reads every `STRONGROOM_` variable that is a setting.
///
/// # Errors
/// When a variable with our prefix is unknown, empty, or does not parse.
pub fn layer_from_environment(environment: &Environment) -> Result<Layer, BadSettings> {
    let names = setting_names();
    let mut args = vec![OsString::from("environment")];
    for (variable, value) in environment {
        let Some(suffix) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let name = suffix.to_ascii_lowercase();
        let known = name.to_ascii_uppercase() == suffix;
        if known && VARIABLES_OTHER.contains(&name.as_str()) {
            continue;
        }
        if !known || !names.contains(&name) {
            return Err(unknown_variable(variable, &name, &names));
        }
        if value.is_empty() {
            return Err(BadSettings(format!(
                "{variable} is empty: give it a value or unset it"
            )));
        }
        for value in split_list(&name, value) {
            let mut arg = OsString::from(format!("--{}=", name.replace('_', "-")));
            arg.push(value);
            args.push(arg);
        }
    }
    let command = Layer::augment_args(clap::Command::new("environment"));
    command
        .try_get_matches_from(args)
        .and_then(|matches| Layer::from_arg_matches(&matches))
        .map_err(|error| {
            let (flag, reason) = clap_reason(&error);
            let variable = flag
                .trim_start_matches('-')
                .replace('-', "_")
                .to_ascii_uppercase();
            BadSettings(format!("{PREFIX}{variable}: {reason}"))
        })
}

/// The zones of one variable stand apart by semicolons.
fn split_list(name: &str, value: &OsString) -> Vec<OsString> {
    match value.to_str() {
        Some(text) if name == "zone" => text
            .split(';')
            .filter(|part| !part.is_empty())
            .map(OsString::from)
            .collect(),
        _ => vec![value.clone()],
    }
}

/// The flag that clap refuses and why, without clap's several lines.
#[must_use]
pub fn clap_reason(error: &clap::Error) -> (String, String) {
    use clap::error::{ContextKind, ContextValue};
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.split([' ', '=']).next().unwrap_or("").to_owned(),
        _ => String::new(),
    };
    let reason = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => {
            let text = error.to_string();
            text.lines()
                .next()
                .unwrap_or("")
                .trim_start_matches("error: ")
                .to_owned()
        }
    };
    (flag, one_line(&reason))
}

fn unknown_variable(variable: &str, name: &str, names: &[String]) -> BadSettings {
    let mut candidates = names.to_vec();
    candidates.extend(VARIABLES_OTHER.map(str::to_owned));
    match nearest(name, &candidates) {
        Some(near) => BadSettings(format!(
            "unknown environment variable {variable}: did you mean {PREFIX}{}?",
            near.to_ascii_uppercase()
        )),
        None => BadSettings(format!(
            "unknown environment variable {variable}: unset it; `strongroom server --help` lists \
             the settings"
        )),
    }
}

fn unknown(what: &str, name: &str, names: &[String]) -> BadSettings {
    match nearest(name, names) {
        Some(near) => BadSettings(format!("unknown {what} {name}: did you mean {near}?")),
        None => BadSettings(format!(
            "unknown {what} {name}: remove it; `strongroom server --help` lists the settings"
        )),
    }
}

/// The name most like `name`, when one is near enough to be what was meant.
fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let best = names
        .iter()
        .min_by_key(|candidate| edits(name, candidate))?;
    (edits(name, best) <= name.len().div_ceil(3)).then_some(best)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
            .collect()
    }

    fn file_error(text: &str) -> String {
        layer_from_table(&toml::from_str(text).unwrap())
            .unwrap_err()
            .0
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_named_with_the_nearest_known_one() {
        assert_eq!(
            file_error("acount = 1"),
            "unknown setting acount: did you mean account?"
        );
        assert_eq!(
            file_error("adress = 'x'"),
            "unknown setting adress: did you mean address?"
        );
        assert!(file_error("colour = 'x'").starts_with("unknown setting colour: remove it"));
        assert!(file_error("[zone]\nz1='/a'").starts_with("zone: "));
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_nearest_known_one() {
        let error = layer_from_environment(&environment(&[("STRONGROOM_SECRETKEY", "x")]));
        assert_eq!(
            error.unwrap_err().0,
            "unknown environment variable STRONGROOM_SECRETKEY: did you mean STRONGROOM_SECRET_KEY?"
        );
        assert!(layer_from_environment(&environment(&[("STRONGROOM_data", "x")])).is_err());
        assert!(layer_from_environment(&environment(&[("HOME", "/root")])).is_ok());
    }

    #[test]
    fn a_bad_value_is_named_by_its_source_in_one_sentence() {
        let error = layer_from_environment(&environment(&[("STRONGROOM_MEMBER_WAIT", "soon")]));
        let error = error.unwrap_err().0;
        assert!(
            error.starts_with("STRONGROOM_MEMBER_WAIT: `soon` is not a duration"),
            "{error}"
        );
        assert!(!error.contains('\n'));
        let error = file_error("member_wait = 'soon'");
        assert!(
            error.starts_with("member_wait: `soon` is not a duration"),
            "{error}"
        );
        let error = layer_from_environment(&environment(&[("STRONGROOM_DATA", "")]));
        assert_eq!(
            error.unwrap_err().0,
            "STRONGROOM_DATA is empty: give it a value or unset it"
        );
    }

    #[test]
    fn secrets_are_refused_in_the_settings_file() {
        assert!(file_error("secret_key = 'abc'").contains("set secret_key_file"));
    }

    #[test]
    fn zones_in_one_variable_stand_apart_by_semicolons() {
        let layer = layer_from_environment(&environment(&[("STRONGROOM_ZONE", "z1=/a,/b;z2=/c")]));
        let zones = layer.unwrap().zone.unwrap();
        assert_eq!(zones.len(), 2);
        assert_eq!(zones[0].folders.len(), 2);
    }

    #[test]
    fn every_setting_is_a_field_of_the_file_too() {
        let names = setting_names();
        assert!(names.len() > 10);
        for name in names {
            let error = toml::from_str::<Layer>(&format!("{name} = {{}}")).unwrap_err();
            assert!(
                !error.message().contains("unknown field"),
                "{name}: {error}"
            );
        }
    }
}
