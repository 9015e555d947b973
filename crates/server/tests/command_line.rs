//! The binary from outside, where no store is opened: help, version, and settings that are refused.

use std::process::{Command, Output};

fn strongroom(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command
        .args(args)
        .env_clear()
        .envs(variables.iter().copied());
    command.output().unwrap()
}

/// Runs a start that must be refused, and gives the sentence.
fn refusal(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = strongroom(args, variables);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text.strip_prefix("strongroom: ")
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn version_is_one_line() {
    let output = strongroom(&["version"], &[]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, format!("strongroom {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_names_every_command_and_every_setting() {
    let text = String::from_utf8(strongroom(&["--help"], &[]).stdout).unwrap();
    for command in ["server", "status", "buckets", "uploads", "where", "version"] {
        assert!(text.contains(command), "{text}");
    }
    let text = String::from_utf8(strongroom(&["server", "--help"], &[]).stdout).unwrap();
    for part in [
        "--data",
        "--zone",
        "--member-wait",
        "STRONGROOM_SECRET_KEY",
        "default: 10s",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn bad_flags_stop_the_start_with_one_sentence() {
    let unknown = refusal(&["server", "--adress", "x"], &[]);
    assert_eq!(unknown, "unknown flag --adress: did you mean --address?");
    let text = refusal(&["server", "--address", "here"], &[]);
    assert!(
        text.starts_with("--address: `here` is not an address"),
        "{text}"
    );
    let text = refusal(&["server", "--zone", "z1"], &[]);
    assert!(text.starts_with("--zone: `z1` is not a zone"), "{text}");
    let text = refusal(&["server", "--member-wait", "10"], &[]);
    assert!(text.contains("for example 10s"), "{text}");
    let text = refusal(&["server", "--data", "a", "--zone", "z=b"], &[]);
    assert!(text.contains("both data and zone"), "{text}");
    assert!(refusal(&["server", "--data"], &[]).contains("--data"));
    assert!(refusal(&["serve"], &[]).contains("serve"));
}

#[test]
fn an_unknown_variable_stops_the_start_by_name() {
    let text = refusal(&["server"], &[("STRONGROOM_ZONES", "z=a")]);
    let expected = "unknown environment variable STRONGROOM_ZONES: did you mean STRONGROOM_ZONE?";
    assert_eq!(text, expected);
}

#[test]
fn an_unknown_setting_in_the_file_stops_the_start_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strongroom.toml");
    std::fs::write(&path, "regoin = 'eu-1'\n").unwrap();
    let text = refusal(&["server", "--config", path.to_str().unwrap()], &[]);
    assert!(
        text.ends_with("unknown setting regoin: did you mean region?"),
        "{text}"
    );
    std::fs::write(&path, "region = \n").unwrap();
    let text = refusal(&["server", "--config", path.to_str().unwrap()], &[]);
    assert!(text.contains("line 1, is not TOML"), "{text}");
}

#[test]
fn weak_credentials_stop_the_start_before_a_zone_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = [
        "server",
        "--data",
        data.to_str().unwrap(),
        "--address",
        "127.0.0.1:0",
        "--admin-address",
        "127.0.0.1:0",
        "--log",
        "off",
    ];
    let weak = [
        ("MINIO_ROOT_USER", "minioadmin"),
        ("MINIO_ROOT_PASSWORD", "minioadmin"),
    ];
    assert!(refusal(&args, &weak).contains("one that everybody knows"));
    let short = [
        ("STRONGROOM_ACCESS_KEY", "root"),
        ("STRONGROOM_SECRET_KEY", "short"),
    ];
    assert!(refusal(&args, &short).contains("shorter than 8"));
    assert!(!data.exists());
}

#[test]
fn status_without_a_server_says_where_it_looked() {
    let variables = [
        ("STRONGROOM_ACCESS_KEY", "root"),
        ("STRONGROOM_SECRET_KEY", "long-enough"),
    ];
    let output = strongroom(&["status", "--admin-address", "127.0.0.1:1"], &variables);
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no answer from http://127.0.0.1:1"), "{text}");
}
