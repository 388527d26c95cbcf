//! Every path that a Rust file names, found in its text: enough of the grammar for that and no more.

/// A path as it is meant: `crate` first when it lies in the same crate, else the name of another crate or of something
/// that was imported. The last segment is `*` for a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathUse {
    pub segments: Vec<String>,
    /// Counted from 1.
    pub line: usize,
    /// Whether it stands under `#[cfg(test)]` or `#[test]`.
    pub in_tests: bool,
}

/// Paths of two or more segments in the code of a file, and what `use` and `extern crate` import. Comments and strings
/// do not count.
pub fn paths_of(file: &str, text: &str) -> Vec<PathUse> {
    let tokens = tokens(&without_comments_and_strings(text));
    let mut reader = Reader {
        tokens,
        at: 0,
        depth: 0,
        module: module_of(file),
        scopes: Vec::new(),
        pending_test: false,
        found: Vec::new(),
    };
    reader.read();
    reader.found
}

/// The module path of a file below `src`, without `crate`.
fn module_of(file: &str) -> Vec<String> {
    let below = file.rsplit_once("src/").map_or(file, |(_, below)| below);
    let mut module: Vec<String> = below.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// The text with blanks in place of comments, strings and character literals; lines stay where they are.
fn without_comments_and_strings(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < source.len() {
        let end = skipped(&source, at);
        if end > at {
            kept.extend(source[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            kept.push(source[at]);
            at += 1;
        }
    }
    kept
}

/// The end of the comment or literal that begins at `at`, or `at` itself when none does.
fn skipped(source: &[char], at: usize) -> usize {
    let next = |offset: usize| source.get(at + offset).copied();
    match source[at] {
        '/' if next(1) == Some('/') => find(source, at, |c| c == '\n'),
        '/' if next(1) == Some('*') => block_comment_end(source, at),
        '"' => string_end(source, at + 1),
        'r' if !is_inside_word(source, at) => raw_string_end(source, at).unwrap_or(at),
        '\'' if next(1) == Some('\\') => {
            let close = find(source, at + 3, |c| c == '\'');
            (close + 1).min(source.len())
        }
        '\'' if next(2) == Some('\'') => at + 3,
        _ => at,
    }
}

fn find(source: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..source.len()).find(|&index| wanted(source[index])).unwrap_or(source.len())
}

fn block_comment_end(source: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = at;
    while index + 1 < source.len() {
        match (source[index], source[index + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                index += 1;
                continue;
            }
        }
        index += 2;
        if depth == 0 {
            return index;
        }
    }
    source.len()
}

fn string_end(source: &[char], from: usize) -> usize {
    let mut index = from;
    while index < source.len() {
        match source[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    source.len()
}

/// `r"…"` and `r#"…"#`, also after `b` or `c`; `None` for a raw identifier.
fn raw_string_end(source: &[char], at: usize) -> Option<usize> {
    let quote = find(source, at + 1, |c| c != '#');
    if source.get(quote) != Some(&'"') {
        return None;
    }
    let hashes = quote - at - 1;
    let ends = |index: &usize| {
        source[*index] == '"' && source[index + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    Some((quote + 1..source.len()).find(ends).map_or(source.len(), |index| index + 1 + hashes))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a letter continues a word, not counting the prefixes of byte and C strings.
fn is_inside_word(source: &[char], at: usize) -> bool {
    let before = |offset: usize| at.checked_sub(offset).map(|index| source[index]);
    match before(1) {
        Some('b' | 'c') => before(2).is_some_and(is_word),
        Some(c) => is_word(c),
        None => false,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Mark(char),
}

fn tokens(source: &str) -> Vec<(Token, usize)> {
    let mut found = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let (token, length) = if is_word(first) {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            } else if rest.starts_with("::") {
                (Token::PathSeparator, 2)
            } else {
                (Token::Mark(first), first.len_utf8())
            };
            found.push((token, index + 1));
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// A block that changes what a path means: an inline module, or test code.
struct Scope {
    depth: usize,
    module: Option<String>,
    is_test: bool,
}

struct Reader {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    module: Vec<String>,
    scopes: Vec<Scope>,
    /// An attribute said that the next item is for tests.
    pending_test: bool,
    found: Vec<PathUse>,
}

impl Reader {
    fn token(&self, offset: usize) -> Option<&Token> {
        self.tokens.get(self.at + offset).map(|(token, _)| token)
    }

    fn word(&self, offset: usize) -> Option<&str> {
        match self.token(offset) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_mark(&self, offset: usize, mark: char) -> bool {
        self.token(offset) == Some(&Token::Mark(mark))
    }

    fn read(&mut self) {
        while let Some(token) = self.token(0).cloned() {
            match token {
                Token::Mark('#') => self.read_attribute(),
                Token::Mark('{') => self.open(None),
                Token::Mark('}') => self.close(),
                Token::Mark(';') => {
                    self.pending_test = false;
                    self.at += 1;
                }
                Token::Word(word) if word == "mod" && self.is_mark(2, '{') => {
                    let name = self.word(1).map(str::to_owned);
                    self.at += 2;
                    self.open(name);
                }
                Token::Word(word) if word == "use" && !self.is_mark(1, '<') => {
                    self.at += 1;
                    self.read_use(&[]);
                }
                Token::Word(word) if word == "extern" && self.word(1) == Some("crate") => {
                    self.at += 2;
                    if let Some(name) = self.word(0).map(str::to_owned) {
                        self.record(&[name]);
                        self.at += 1;
                    }
                }
                Token::Word(_) | Token::PathSeparator => self.read_path(),
                Token::Mark(_) => self.at += 1,
            }
        }
    }

    fn open(&mut self, module: Option<String>) {
        let is_test = std::mem::take(&mut self.pending_test);
        if module.is_some() || is_test {
            self.scopes.push(Scope { depth: self.depth, module, is_test });
        }
        self.depth += 1;
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.scopes.last().is_some_and(|scope| scope.depth == self.depth) {
            self.scopes.pop();
        }
        self.at += 1;
    }

    /// Steps over the opening of an attribute, noting whether it is for tests; paths inside it are read as any other.
    fn read_attribute(&mut self) {
        self.at += 1;
        if !self.is_mark(0, '[') {
            return;
        }
        let is_test = match self.word(1) {
            Some("test") => true,
            Some("cfg") => {
                (2..12)
                    .take_while(|&offset| !self.is_mark(offset, ']'))
                    .fold((false, false), |(found, negated), offset| {
                        (
                            found || (self.word(offset) == Some("test") && !negated),
                            negated || self.word(offset) == Some("not"),
                        )
                    })
                    .0
            }
            _ => false,
        };
        self.pending_test |= is_test;
    }

    /// One branch of a `use` tree, up to the mark that ends it.
    fn read_use(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        while let Some(token) = self.token(0).cloned() {
            match token {
                Token::Word(word) if word == "as" => {
                    self.at += 2;
                    break;
                }
                Token::Word(word) => segments.push(word),
                Token::Mark('*') => segments.push("*".to_owned()),
                Token::PathSeparator => {}
                Token::Mark('{') => return self.read_group(&segments),
                Token::Mark(_) => break,
            }
            self.at += 1;
        }
        self.record(&segments);
    }

    fn read_group(&mut self, prefix: &[String]) {
        self.at += 1;
        while self.token(0).is_some() && !self.is_mark(0, '}') {
            let before = self.at;
            self.read_use(prefix);
            // A mark that no `use` has must not hold the reader up.
            if self.is_mark(0, ',') || self.at == before {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn read_path(&mut self) {
        // What follows `>::` belongs to a type, not to a module.
        let belongs_to_type = self.token(0) == Some(&Token::PathSeparator)
            && self.at > 0
            && !matches!(
                self.tokens[self.at - 1].0,
                Token::Mark('(' | ',' | '=' | '{' | ';' | '&' | ':' | '<' | '[' | '}')
            );
        if self.token(0) == Some(&Token::PathSeparator) {
            self.at += 1;
        }
        let start = self.at;
        let mut segments = Vec::new();
        while let Some(word) = self.word(0).map(str::to_owned) {
            segments.push(word);
            self.at += 1;
            if self.token(0) != Some(&Token::PathSeparator) || self.word(1).is_none() {
                break;
            }
            self.at += 1;
        }
        if segments.len() > 1 && !belongs_to_type {
            let end = std::mem::replace(&mut self.at, start);
            self.record(&segments);
            self.at = end;
        }
    }

    /// Keeps a path, with `self` and `super` resolved.
    fn record(&mut self, segments: &[String]) {
        let Some(first) = segments.first() else { return };
        let line = self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(_, line)| *line);
        let in_tests = self.pending_test || self.scopes.iter().any(|scope| scope.is_test);
        let mut path = Vec::new();
        let mut rest = segments;
        if matches!(first.as_str(), "self" | "super") {
            let inline = self.scopes.iter().filter_map(|scope| scope.module.clone());
            path = std::iter::once("crate".to_owned()).chain(self.module.iter().cloned()).chain(inline).collect();
            while let Some((step, after)) = rest.split_first() {
                match step.as_str() {
                    "self" => {}
                    "super" if path.len() > 1 => {
                        path.pop();
                    }
                    _ => break,
                }
                rest = after;
            }
        }
        // `use a::{self}` means `a`.
        path.extend(rest.iter().filter(|segment| *segment != "self").cloned());
        self.found.push(PathUse { segments: path, line, in_tests });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        paths_of(file, text).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn imports_are_expanded() {
        let text = "use crate::{plan::{self, step::Step as S}, codec::*};\npub(crate) use a;\nextern crate b;";
        let expected = ["crate::plan", "crate::plan::step::Step", "crate::codec::*", "a", "b"];
        assert_eq!(found("render/src/cpu/mask.rs", text), expected);
    }

    #[test]
    fn paths_in_code_are_found() {
        let text =
            "fn f(x: &wgpu::Device) -> Vec<crate::gpu::Arena> { <T as A::B>::c::d(); std::fs::read::<u8>(image) }";
        assert_eq!(found("x/src/a.rs", text), ["wgpu::Device", "crate::gpu::Arena", "A::B", "std::fs::read"]);
        assert_eq!(found("x/src/a.rs", "fn f() { let image = a.image; ::wgpu::init(); }"), ["wgpu::init"]);
    }

    #[test]
    fn relative_paths_are_resolved() {
        assert_eq!(found("render/src/gpu/run.rs", "use super::super::cpu::Lanes;"), ["crate::cpu::Lanes"]);
        assert_eq!(
            found("render/src/gpu/mod.rs", "use super::cpu; mod run { use super::arena; }"),
            ["crate::cpu", "crate::gpu::arena"]
        );
        assert_eq!(found("render/src/lib.rs", "pub use self::plan::Plan;"), ["crate::plan::Plan"]);
    }

    #[test]
    fn comments_and_strings_do_not_count() {
        let text = r####"
            // wgpu::a
            /* wgpu::b /* nested */ wgpu::c */
            const A: &str = "wgpu::d \" wgpu::e"; const B: &str = r#"wgpu::f " "#; const C: &[u8] = br"wgpu::g";
            const D: char = '"'; fn f<'a>(x: &'a str) { let y = '\''; let z = '\u{1f}'; naga::h() }
        "####;
        assert_eq!(found("x/src/a.rs", text), ["naga::h"]);
    }

    #[test]
    fn test_code_is_known() {
        let text = "#[cfg(test)]\nuse a::b;\nuse c::d;\n#[cfg(test)]\nmod tests {\n    fn f() { e::f() }\n}\nfn g() { h::i() }\n#[cfg(not(test))]\nuse j::k;";
        let tests: Vec<(String, usize, bool)> = paths_of("x/src/a.rs", text)
            .into_iter()
            .map(|path| (path.segments.join("::"), path.line, path.in_tests))
            .collect();
        let expected =
            [("a::b", 2, true), ("c::d", 3, false), ("e::f", 6, true), ("h::i", 8, false), ("j::k", 10, false)];
        assert_eq!(tests, expected.map(|(path, line, in_tests)| (path.to_owned(), line, in_tests)));
    }

    #[test]
    fn broken_text_ends_the_reading() {
        for text in [
            "use a::{b, c",
            "use {{{",
            "/* x",
            "\"x",
            "r#\"x",
            "'",
            "mod m {",
            "}}}} a::b",
            "#[",
            "use a::{<b>};",
            "extern crate",
        ] {
            let _ = paths_of("x/src/a.rs", text);
        }
    }
}
