//! Rules about one file at a time: its place, its length, its blanks, and words that mean unfinished work.

use super::Finding;
use super::tree::Tree;

/// A longer file is refused, for it answers more than one question.
const MAX_LINES: usize = 800;
/// A longer file is worth a thought.
const MANY_LINES: usize = 500;

/// Names that may stand at the top of the repository, beside those that begin with a dot or one of the prefixes.
const TOP_NAMES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "render",
    "shaders",
    "api",
    "scheduler",
    "benches",
    "deploy",
    "README.md",
    "ARCHITECTURE.md",
    "COMPATIBILITY.md",
    "CHANGELOG.md",
    "Makefile",
    "deny.toml",
    "rustfmt.toml",
    "clippy.toml",
    "rust-toolchain.toml",
];
const TOP_PREFIXES: &[&str] = &[".", "LICENSE", "NOTICE"];

/// Marks of unfinished work, put together so that this file does not hold them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("#[ign", "ore"),
];

pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for path in tree.paths() {
        check_place(path, findings);
    }
    for (path, text) in tree.texts(&["rs", "wgsl", "sh", "py"]) {
        check_length(path, text, findings);
        check_finished(path, text, findings);
    }
    if let Some(text) = tree.text("Makefile") {
        check_finished("Makefile", text, findings);
    }
    for (path, text) in tree.texts(&["rs", "wgsl", "md", "sh"]) {
        check_blanks(path, text, findings);
    }
    for (path, text) in tree.texts(&["toml"]) {
        if path.ends_with("/Cargo.toml") {
            check_lints(path, text, findings);
        }
    }
}

/// Each odd name at the top is told once, even where it is a folder of many files.
fn check_place(path: &str, findings: &mut Vec<Finding>) {
    let top = path.split('/').next().unwrap_or_default();
    let is_known = TOP_NAMES.contains(&top) || TOP_PREFIXES.iter().any(|prefix| top.starts_with(prefix));
    if !is_known && !findings.iter().any(|finding| finding.path == top) {
        findings.push(Finding::fault(top, 0, "not in the fixed layout of the top folder"));
    }
}

fn check_length(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let is_table = path.ends_with("/params.rs") || path.contains("/generated/");
    let lines = text.lines().count();
    if is_table || lines <= MANY_LINES {
        return;
    }
    let message = format!("{lines} lines; a file answers one question in at most {MAX_LINES}");
    findings.push(match lines {
        0..=MAX_LINES => Finding::warning(path, 0, message),
        _ => Finding::fault(path, 0, message),
    });
}

fn check_finished(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
            findings.push(Finding::fault(path, index + 1, format!("{word} marks unfinished work")));
        }
    }
}

/// Whether a line holds a word that is no part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !is_part(line[..at].chars().next_back())
            && (!word.ends_with(char::is_alphanumeric) || !is_part(after.chars().next()))
    })
}

fn check_blanks(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.split('\n').enumerate() {
        if line.contains('\t') {
            findings.push(Finding::fault(path, index + 1, "a tab"));
        }
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::fault(path, index + 1, "blanks at the end of the line"));
        }
    }
}

fn check_lints(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let inherits = lines.by_ref().take_while(|line| !line.starts_with('[')).any(|line| {
        line.split_once('=').is_some_and(|(key, value)| key.trim() == "workspace" && value.trim() == "true")
    });
    if !inherits {
        findings.push(Finding::fault(path, 0, "lacks `[lints] workspace = true`"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::faults;
    use super::*;

    fn one(path: &str, text: &str, expected: &str) {
        let found = faults(&[(path, text)]);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {found:?}");
    }

    #[test]
    fn names_at_the_top_are_fixed() {
        assert_eq!(faults(&[("README.md", ""), (".ci/run", ""), ("LICENSE-MIT", ""), ("render/x.txt", "")]), [""; 0]);
        assert_eq!(
            faults(&[("notes/a.md", ""), ("notes/b.md", "")]),
            ["notes: not in the fixed layout of the top folder"]
        );
        assert_eq!(faults(&[("renderer/a.md", "")]).len(), 1);
    }

    #[test]
    fn long_files_are_refused() {
        let lines = |count: usize| "//\n".repeat(count);
        one("render/src/a.rs", &lines(MAX_LINES + 1), "801 lines");
        assert!(faults(&[("render/src/a.rs", &lines(MAX_LINES))]).is_empty());
        assert!(faults(&[("render/src/language/params.rs", &lines(MAX_LINES + 1))]).is_empty());
        let severities = |count: usize| {
            let text = lines(count);
            let tree = Tree::of(&[("api/src/a.rs", &text)]);
            super::super::check_tree(&tree).len()
        };
        assert_eq!((severities(MANY_LINES), severities(MANY_LINES + 1)), (0, 1));
    }

    #[test]
    fn unfinished_work_is_refused() {
        for word in UNFINISHED {
            one("api/src/a.rs", &format!("fn a() {{\n    {word}\n}}\n"), "marks unfinished work");
            one("deploy/a.sh", &format!("# {word}: later\n"), "marks unfinished work");
        }
        let innocent = format!("// MAS{}S and {}_list and my_{}(1)\n", UNFINISHED[0], UNFINISHED[0], UNFINISHED[2]);
        assert!(faults(&[("api/src/a.rs", &innocent)]).is_empty());
    }

    #[test]
    fn stray_blanks_are_refused() {
        for path in ["render/a.rs", "render/a.wgsl", "render/a.md", "render/a.sh"] {
            if path.ends_with("wgsl") {
                // Elsewhere than in the folder of kernels, so that only this rule speaks.
                one(path, "a \nb\n", "blanks at the end");
            }
            one(path, "a\tb\n", "a tab");
            one(path, "a\nb \n", ":2: blanks at the end");
            one(path, "a\r\n", "blanks at the end");
        }
        assert!(faults(&[("Makefile", "a:\n\tb\n")]).is_empty());
    }

    #[test]
    fn crates_inherit_the_lints() {
        one("render/Cargo.toml", "[package]\nname = \"x\"\n", "lacks");
        one("render/Cargo.toml", "[lints]\n[dependencies]\nworkspace = true\n", "lacks");
        one("render/Cargo.toml", "[lints]\nworkspace = false\n", "lacks");
        assert!(faults(&[("render/Cargo.toml", "[lints]\nworkspace = true\n"), ("Cargo.toml", "")]).is_empty());
    }
}
