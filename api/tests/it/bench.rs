//! `tintype bench` as a program: what it says to people who ask for the wrong thing.

use std::process::{Command, Output};

fn bench(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tintype")).arg("bench").args(words).output().unwrap()
}

/// Exit code 2 and one sentence, without a trace.
fn refused(words: &[&str], says: &str) {
    let output = bench(words);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
    assert!(text.contains(says) && !text.contains("panicked") && !text.contains("backtrace"), "{words:?}: {text}");
}

#[test]
fn bad_arguments_are_a_sentence_and_code_2() {
    refused(&["--only", "W99", "--renderer", "cpu"], "no workload is called W99");
    refused(&["--rounds", "0"], "0 is not in 1..=1000");
    refused(&["--rounds", "many"], "many");
    refused(&["--seconds", "0"], "0 is not in 1..=600");
    refused(&["--renderer", "cpu", "--html", "/nowhere/at/all.html"], "cannot write /nowhere/at/all.html");
    refused(&["--profile", "best"], "best");
    refused(&["--renderer", "cpu", "--json", "/nowhere/at/all.json"], "cannot write /nowhere/at/all.json");
}

/// What a server's data needs is looked at before anything is measured, so that this takes no time.
#[test]
fn data_that_cannot_be_kept_is_a_sentence() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
    command.args(["bench", "--only", "W9", "--renderer", "cpu", "--rounds", "1"]);
    let output = command.env("TMPDIR", "/dev/null").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("no data can be kept at /dev/null/tintype-bench-"), "{text}");
    assert!(!text.contains("panicked") && !text.contains("W9: round"), "{text}");
}

/// A driver that names a library that is not there, and no driver at all.
#[test]
fn an_adapter_that_is_demanded_and_broken_is_a_sentence() {
    let folder = std::env::temp_dir().join(format!("tintype-broken-driver-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let driver = folder.join("broken.json");
    let text =
        r#"{"file_format_version": "1.0.0", "ICD": {"library_path": "/nowhere/at/all.so", "api_version": "1.3.0"}}"#;
    std::fs::write(&driver, text).unwrap();
    for (driver, renderer) in [(driver.as_path(), "software"), (driver.as_path(), "gpu"), (&folder, "gpu")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
        command.args(["bench", "--only", "W9", "--rounds", "1", "--renderer", renderer]);
        command.env("VK_ICD_FILENAMES", driver).env("VK_DRIVER_FILES", driver);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{renderer}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains(&format!("renderer {renderer} was demanded: no adapter")), "{renderer}: {text}");
        assert!(!text.contains("panicked") && output.stdout.is_empty(), "{renderer}: {text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_list_names_every_workload() {
    let output = bench(&["--list"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    for name in
        ["kernels", "W1 ", "W1w", "W1h", "W2j", "W3", "W4", "W7", "W8c1", "W8shared", "W9", "W10", "overload", "eager"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "no {name} in {text}");
    }
}
