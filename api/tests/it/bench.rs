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
    refused(&["--profile", "best"], "best");
    refused(&["--renderer", "cpu", "--json", "/nowhere/at/all.json"], "cannot write /nowhere/at/all.json");
}

#[test]
fn the_list_names_every_workload() {
    let output = bench(&["--list"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    for name in ["kernels", "W1 ", "W1w", "W1h", "W2j", "W3", "W4", "W7", "W8c1", "W9", "W10", "overload", "eager"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "no {name} in {text}");
    }
}
