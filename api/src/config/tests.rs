#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn machine() -> Machine {
    Machine { threads: 3, memory_bytes: 4 << 30, container_bytes: None }
}

fn load(flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Result<Config, ConfigError> {
    let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::from_sources(&flags, &env, file.map(|text| (Path::new("tintype.toml"), text)), &machine())
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = load(&[], &[], None).unwrap();
    assert_eq!(config.data_dir, Path::new("./tintype-data"));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.catalog, CatalogConfig::Sqlite(PathBuf::from("./tintype-data/catalog.sqlite")));
    assert_eq!(config.secret_key_file, Path::new("./tintype-data/secret.key"));
    assert_eq!(config.http.public_base_url, "http://127.0.0.1:8080");
    assert_eq!(config.http.max_upload_bytes, 100_000_000);
    assert_eq!(config.render.renderer, RendererChoice::Auto);
    assert_eq!(config.render.profile, ProfileChoice::Quality);
    assert_eq!(config.render.max_source_pixels, 100_000_000);
    assert_eq!(config.render.threads, 3);
    assert_eq!(config.scheduler.memory_budget_bytes, 2 << 30);
    assert_eq!(config.cache.unversioned_max_age, Duration::from_secs(3600));
    assert_eq!(config.log, LogConfig { filter: "info".into(), format: LogFormat::Text });
    assert_eq!(config.default_cloud, None);
    assert_eq!(config.remote.settings, crate::fetch::FetchSettings::default());
    assert_eq!(config.remote.ca_file, None);
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\nthreads = 7\nqueue_length = 9\naccept_signature_v1 = false";
    let env = [("TINTYPE_LISTEN", "127.0.0.1:2"), ("TINTYPE_THREADS", "8"), ("TINTYPE_QUEUE_LENGTH", "")];
    let config = load(&[("listen", "127.0.0.1:3")], &env, Some(file)).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.render.threads, 8);
    assert_eq!(config.scheduler.queue_length, 9);
    assert!(!config.http.accept_signature_v1);
    let printed = config.print();
    assert!(printed.contains("listen = \"127.0.0.1:3\" # --listen\n"), "{printed}");
    assert!(printed.contains("threads = \"8\" # TINTYPE_THREADS\n"), "{printed}");
    assert!(printed.contains("queue_length = \"9\" # tintype.toml\n"), "{printed}");
    let reparsed: toml::Table = toml::from_str(&printed).unwrap();
    assert_eq!(reparsed.len(), table::KEYS.len());
}

#[test]
fn unknown_keys_stop_the_start() {
    for (flags, env, file) in [
        (vec![("lisen", "x")], vec![], None),
        (vec![], vec![("TINTYPE_LISEN", "x")], None),
        (vec![], vec![], Some("lisen = 1")),
        (vec![], vec![], Some("[http]\nlisten = \"127.0.0.1:1\"")),
    ] {
        assert!(matches!(load(&flags, &env, file), Err(ConfigError::UnknownKey { .. })));
    }
    let foreign = [("TINTYPE_TEST_X", "1"), ("TINTYPE_CONFIG", "a"), ("TINTYPE_BLESS", "1"), ("OTHER", "1")];
    assert!(load(&[], &foreign, None).is_ok());
    assert!(matches!(load(&[], &[], Some("a = = b")), Err(ConfigError::Malformed { .. })));
    assert!(matches!(load(&[], &[], Some("threads = [1]")), Err(ConfigError::Malformed { .. })));
}

#[test]
fn invalid_values_name_their_key_and_origin() {
    for (key, value) in [
        ("data_dir", ""),
        ("listen", "localhost"),
        ("catalog", "mysql://x"),
        ("catalog", "sqlite:"),
        ("renderer", "GPU!"),
        ("profile", "best"),
        ("public_base_url", "ftp://x"),
        ("public_base_url", "https://"),
        ("public_base_url", "https://a b"),
        ("max_source_megapixels", "0"),
        ("max_output_megapixels", "10001"),
        ("max_animation_frames", "-1"),
        ("max_animation_megapixels", "0"),
        ("max_upload_bytes", "0"),
        ("max_upload_bytes", "-1"),
        ("threads", "0"),
        ("threads", "1025"),
        ("memory_budget_mb", "63"),
        ("memory_budget_mb", "16777217"),
        ("queue_length", "0"),
        ("url_cache_mb", "1025"),
        ("unversioned_max_age_s", "31536001"),
        ("request_timeout_s", "0"),
        ("answer_timeout_s", "0"),
        ("accept_signature_v1", "yes"),
        ("remote_allow", "10.0.0.0/33"),
        ("remote_deny", "host:0"),
        ("remote_ports", "80,x"),
        ("remote_ports", "0"),
        ("remote_max_redirects", "21"),
        ("remote_connect_timeout_s", "0"),
        ("remote_first_byte_timeout_s", "3601"),
        ("remote_idle_timeout_s", "-1"),
        ("remote_timeout_s", "x"),
        ("remote_connections", "0"),
        ("remote_connections_per_host", "100001"),
        ("log", ""),
        ("log_format", "xml"),
        ("default_cloud", "a/b"),
    ] {
        match load(&[(key, value)], &[], None) {
            Err(ConfigError::InvalidValue { key: named, origin, .. }) => {
                assert_eq!(named, key);
                assert!(origin.starts_with("--"), "{origin}");
            }
            other => panic!("{key}={value}: {other:?}"),
        }
    }
}

#[test]
fn the_public_base_follows_the_listener_or_the_setting() {
    let base = |flags: &[(&str, &str)]| load(flags, &[], None).unwrap().http.public_base_url;
    assert_eq!(base(&[("listen", "0.0.0.0:80")]), "http://localhost:80");
    assert_eq!(base(&[("listen", "[::]:81")]), "http://localhost:81");
    assert_eq!(base(&[("listen", "192.0.2.1:82")]), "http://192.0.2.1:82");
    assert_eq!(base(&[("public_base_url", "https://img.example.com/x/")]), "https://img.example.com/x");
}

#[test]
fn a_password_is_never_printed() {
    let address = "postgres://user:hunter2@db.example:5432/tintype?password=hunter3";
    let config = load(&[("catalog", address)], &[], None).unwrap();
    assert_eq!(config.catalog, CatalogConfig::Postgres(Secret::new(address)));
    let shown = format!("{config:?}\n{}", config.print());
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("db.example:5432/tintype"), "{shown}");
}

#[test]
fn the_example_file_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/example.env");
    let expected = table::example_env();
    if std::env::var_os("TINTYPE_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "deploy/example.env is stale: run the tests with TINTYPE_BLESS=1");
    for key in table::KEYS {
        assert!(found.contains(&format!("\n#{}={}\n", key.variable(), key.default)));
        assert!(table::help().contains(&format!("--{} ", key.flag())));
    }
}
