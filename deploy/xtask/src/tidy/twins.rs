//! Every kernel has a twin: the same stem in WGSL, in Rust and in the test that compares the two.

use super::Finding;
use super::tree::Tree;

const KERNELS: &str = "shaders/wgsl/";
const PARITY: &str = "render/tests/it/parity.rs";

pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    // Case does not count: `resample.wgsl` is `Kernel::Resample` there.
    let parity = tree.text(PARITY).unwrap_or_default().to_lowercase();
    for path in tree.paths() {
        let Some(stem) = path.strip_prefix(KERNELS).and_then(|name| name.strip_suffix(".wgsl")) else { continue };
        if stem.starts_with("common/") {
            continue;
        }
        let twin = format!("render/src/cpu/{stem}.rs");
        if !tree.has(&twin) {
            findings.push(Finding::fault(path, 0, format!("has no twin {twin}")));
        }
        if !mentions(&parity, stem) {
            findings.push(Finding::fault(path, 0, format!("is not compared in {PARITY}")));
        }
    }
}

/// Whether a text has a word, also as a part of a longer name in snake case.
fn mentions(text: &str, stem: &str) -> bool {
    text.match_indices(stem).any(|(at, _)| {
        let borders = |character: Option<char>| !character.is_some_and(char::is_alphanumeric);
        borders(text[..at].chars().next_back()) && borders(text[at + stem.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::faults;

    const WGSL: (&str, &str) = ("shaders/wgsl/blur.wgsl", "");
    const CPU: (&str, &str) = ("render/src/cpu/blur.rs", "");
    const ROW: (&str, &str) = ("render/tests/it/parity.rs", "fn row() { Kernel::Blur }\n");

    #[test]
    fn a_kernel_needs_both_twins() {
        assert!(faults(&[WGSL, CPU, ROW]).is_empty());
        assert!(faults(&[("shaders/wgsl/common/color.wgsl", "")]).is_empty());
        assert_eq!(faults(&[WGSL, ROW]), ["shaders/wgsl/blur.wgsl: has no twin render/src/cpu/blur.rs"]);
        assert_eq!(faults(&[WGSL, CPU]), ["shaders/wgsl/blur.wgsl: is not compared in render/tests/it/parity.rs"]);
        assert_eq!(faults(&[WGSL, CPU, (ROW.0, "fn unblurred() {}\n")]).len(), 1);
    }
}
