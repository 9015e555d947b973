use std::ffi::OsString;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
        .collect()
}

fn flags(zones: &[&str]) -> Layer {
    Layer {
        zone: Some(zones.iter().map(|z| z.parse().unwrap()).collect()),
        ..Layer::default()
    }
}

fn refusal(layer: Layer) -> String {
    Settings::resolve(layer, None, &Environment::new())
        .unwrap_err()
        .0
}

#[test]
fn defaults_are_three_zones_in_one_folder_on_loopback() {
    let settings = Settings::resolve(Layer::default(), None, &Environment::new()).unwrap();
    let folders: Vec<_> = settings
        .zones
        .iter()
        .map(|zone| zone.folders[0].clone())
        .collect();
    let expected = ["z1", "z2", "z3"].map(|name| PathBuf::from("strongroom-data").join(name));
    assert_eq!(folders, expected);
    assert_eq!(
        settings.credentials,
        PathBuf::from("strongroom-data/credentials")
    );
    assert_eq!(settings.address.to_string(), "127.0.0.1:9000");
    assert_eq!(settings.admin_address.to_string(), "127.0.0.1:9001");
    assert_eq!(settings.region, "us-east-1");
    assert!(!settings.metrics_open);
    assert_eq!(settings.hold_back, Duration::from_secs(24 * 3600));
    assert_eq!(settings.hold_back_size, None);
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strongroom.toml");
    let text = "region = 'from-file'\nmember_wait = '3s'\ncommit_deadline = '4s'\n\
                metrics_open = true\nconnections_max = 7\n";
    std::fs::write(&path, text).unwrap();
    let environment = environment(&[
        ("STRONGROOM_CONFIG", path.to_str().unwrap()),
        ("STRONGROOM_REGION", "from-environment"),
        ("STRONGROOM_MEMBER_WAIT", "2s"),
        ("STRONGROOM_METRICS_OPEN", "false"),
    ]);
    let flags = Layer {
        region: Some("from-flag".to_owned()),
        ..Layer::default()
    };
    let settings = Settings::resolve(flags, None, &environment).unwrap();
    assert_eq!(settings.region, "from-flag");
    assert_eq!(settings.member_wait, Duration::from_secs(2));
    assert!(!settings.metrics_open);
    assert_eq!(settings.commit_deadline, Duration::from_secs(4));
    assert_eq!(settings.connections_max, 7);
    assert_eq!(settings.drain_deadline, Duration::from_secs(30));
    assert_eq!(settings.body_idle_max, Duration::from_secs(60));
}

#[test]
fn the_flag_that_names_the_file_wins_over_the_variable_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, "region = 'here'").unwrap();
    let environment = environment(&[("STRONGROOM_CONFIG", "/absent.toml")]);
    let settings = Settings::resolve(Layer::default(), Some(&path), &environment).unwrap();
    assert_eq!(settings.region, "here");
    let error = Settings::resolve(Layer::default(), None, &environment)
        .unwrap_err()
        .0;
    assert!(
        error.contains("/absent.toml") && error.contains("--config"),
        "{error}"
    );
}

#[test]
fn zones_on_the_command_line_replace_a_data_folder_in_the_environment() {
    let environment = environment(&[("STRONGROOM_DATA", "/somewhere")]);
    let settings = Settings::resolve(flags(&["a=/x"]), None, &environment).unwrap();
    assert_eq!(settings.zones.len(), 1);
    assert_eq!(
        settings.credentials,
        PathBuf::from("strongroom-credentials")
    );
}

#[test]
fn credentials_stand_beside_the_settings_file_when_zones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    std::fs::write(&path, "zone = ['a=/x,/y', 'b=/z']").unwrap();
    let settings = Settings::resolve(Layer::default(), Some(&path), &Environment::new()).unwrap();
    assert_eq!(settings.zones[0].folders.len(), 2);
    assert_eq!(
        settings.credentials,
        folder.path().join("strongroom-credentials")
    );
}

#[test]
fn data_and_zone_in_one_source_are_refused() {
    let layer = Layer {
        data: Some("/d".into()),
        ..flags(&["a=/x"])
    };
    assert_eq!(
        refusal(layer),
        "the command line names both data and zone: give the one or the other"
    );
}

#[test]
fn folders_that_overlap_are_refused() {
    for zones in [
        ["a=/x", "b=/x"].as_slice(),
        &["a=/x,/x/"],
        &["a=/x", "b=/x/y"],
        &["a=/x/y", "b=/x"],
        &["a=/x", "b=/y/../x"],
    ] {
        assert!(
            refusal(flags(zones)).contains("a folder of its own"),
            "{zones:?}"
        );
    }
    assert!(refusal(flags(&["a=/x", "a=/y"])).contains("named twice"));
    assert!(Settings::resolve(flags(&["a=/x", "b=/xy"]), None, &Environment::new()).is_ok());
}

#[test]
fn a_credentials_file_inside_a_zone_is_refused() {
    let layer = Layer {
        credentials: Some("/x/../y/cred".into()),
        ..flags(&["a=/y"])
    };
    assert!(refusal(layer).contains("outside the zones"));
}

#[test]
fn an_access_log_inside_a_zone_is_refused_and_standard_output_is_not_a_path() {
    let logging = |path: &str| Layer {
        access_log: Some(path.into()),
        ..flags(&["a=/y"])
    };
    assert!(refusal(logging("/y/access.log")).contains("outside the zones"));
    let here = std::env::current_dir().unwrap();
    let zone = format!("a={}", here.display());
    let layer = Layer {
        access_log: Some("-".into()),
        credentials: Some("/x/cred".into()),
        ..flags(&[&zone])
    };
    Settings::resolve(layer, None, &Environment::new()).unwrap();
}

#[test]
fn values_that_parse_but_make_no_sense_are_refused() {
    let address = Some("127.0.0.1:9001".parse().unwrap());
    assert!(
        refusal(Layer {
            address,
            ..Layer::default()
        })
        .contains("different ports")
    );
    let region = Some("EU West".to_owned());
    assert!(
        refusal(Layer {
            region,
            ..Layer::default()
        })
        .contains("lowercase")
    );
    let connections_max = Some(0);
    assert!(
        refusal(Layer {
            connections_max,
            ..Layer::default()
        })
        .contains("from 1 to")
    );
    let log = Some("loud".to_owned());
    assert!(
        refusal(Layer {
            log,
            ..Layer::default()
        })
        .contains("log is `loud`")
    );
}
