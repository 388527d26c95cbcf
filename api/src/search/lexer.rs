//! Text to tokens. A token knows the position of its first character, counted from 1.

use super::{MAX_CHARS, QueryError};

/// Characters that end a word and have to be escaped in one. `+`, `-` and `!` are operators only before a word.
const SPECIAL: &str = "!(){}[]*^~?:\\=&><\"";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub position: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare or quoted text, without its escapes and without the `*` at its end.
    Text {
        value: String,
        /// Whether a `*` ended it.
        prefix: bool,
        quoted: bool,
    },
    And,
    Or,
    Not,
    /// `TO` between the ends of a range; elsewhere a word.
    To,
    Plus,
    Minus,
    Open,
    Close,
    /// `[` or `{`
    RangeOpen {
        inclusive: bool,
    },
    /// `]` or `}`
    RangeClose {
        inclusive: bool,
    },
    Colon,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    End,
}

impl Kind {
    /// Whether a value follows, in which a sign is no operator.
    fn awaits_value(&self) -> bool {
        matches!(
            self,
            Kind::Colon
                | Kind::Equal
                | Kind::Less
                | Kind::LessOrEqual
                | Kind::Greater
                | Kind::GreaterOrEqual
                | Kind::RangeOpen { .. }
                | Kind::To
        )
    }
}

/// All tokens of an expression, the last of them [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let characters: Vec<char> = text.chars().take(MAX_CHARS + 1).collect();
    if characters.len() > MAX_CHARS {
        let reason = format!("the expression is longer than {MAX_CHARS} characters");
        return Err(QueryError::because(MAX_CHARS + 1, reason));
    }
    // Databases cannot hold it, so that nothing could be found by it.
    if let Some(nul) = characters.iter().position(|character| *character == '\0') {
        return Err(QueryError::at(nul + 1));
    }
    let mut lexer = Lexer { characters: &characters, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    characters: &'t [char],
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn push(&mut self, kind: Kind, length: usize) {
        self.tokens.push(Token { kind, position: self.at + 1 });
        self.at += length;
    }

    fn run(&mut self) -> Result<(), QueryError> {
        while let Some(character) = self.peek(0) {
            let next = self.peek(1);
            let value = self.tokens.last().is_some_and(|token| token.kind.awaits_value());
            match character {
                space if space.is_whitespace() => self.at += 1,
                '(' => self.push(Kind::Open, 1),
                ')' => self.push(Kind::Close, 1),
                '[' => self.push(Kind::RangeOpen { inclusive: true }, 1),
                '{' => self.push(Kind::RangeOpen { inclusive: false }, 1),
                ']' => self.push(Kind::RangeClose { inclusive: true }, 1),
                '}' => self.push(Kind::RangeClose { inclusive: false }, 1),
                ':' => self.push(Kind::Colon, 1),
                '=' => self.push(Kind::Equal, 1),
                '<' if next == Some('=') => self.push(Kind::LessOrEqual, 2),
                '<' => self.push(Kind::Less, 1),
                '>' if next == Some('=') => self.push(Kind::GreaterOrEqual, 2),
                '>' => self.push(Kind::Greater, 1),
                '&' if next == Some('&') => self.push(Kind::And, 2),
                '!' => self.push(Kind::Not, 1),
                '+' if !value => self.push(Kind::Plus, 1),
                '-' if !value => self.push(Kind::Minus, 1),
                '"' => self.quoted()?,
                _ => self.word()?,
            }
        }
        self.push(Kind::End, 0);
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), QueryError> {
        let start = self.at;
        let (mut value, mut prefix) = (String::new(), false);
        self.at += 1;
        loop {
            let Some(character) = self.peek(0) else { return Err(QueryError::at(start + 1)) };
            match (character, self.peek(1)) {
                ('"', _) => break,
                ('\\', Some(escaped @ ('"' | '*' | '\\'))) => {
                    value.push(escaped);
                    self.at += 2;
                }
                ('*', Some('"')) => {
                    prefix = true;
                    self.at += 1;
                }
                ('*', _) => return Err(QueryError::at(self.at + 1)),
                _ => {
                    value.push(character);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        self.tokens.push(Token { kind: Kind::Text { value, prefix, quoted: true }, position: start + 1 });
        Ok(())
    }

    fn word(&mut self) -> Result<(), QueryError> {
        let start = self.at;
        let (mut value, mut prefix, mut escaped) = (String::new(), false, false);
        while let Some(character) = self.peek(0) {
            match character {
                '\\' => {
                    let Some(next) = self.peek(1) else { return Err(QueryError::at(self.at + 1)) };
                    value.push(next);
                    escaped = true;
                    self.at += 2;
                }
                '*' => {
                    prefix = true;
                    self.at += 1;
                    break;
                }
                other if other.is_whitespace() || SPECIAL.contains(other) => break,
                other => {
                    value.push(other);
                    self.at += 1;
                }
            }
        }
        // Nothing but what ends a word may follow: neither more of it nor a fuzzy search.
        if let Some(next) = self.peek(0) {
            let ends = next.is_whitespace() || (SPECIAL.contains(next) && !"*^~?\"".contains(next));
            let joined = prefix && !next.is_whitespace() && !")]}".contains(next);
            if !ends || joined {
                let position = if prefix { self.at } else { self.at + 1 };
                return Err(QueryError::at(position));
            }
        }
        let kind = match value.as_str() {
            _ if escaped || prefix => Kind::Text { value, prefix, quoted: false },
            "AND" => Kind::And,
            "OR" => Kind::Or,
            "NOT" => Kind::Not,
            "TO" => Kind::To,
            _ => Kind::Text { value, prefix, quoted: false },
        };
        if matches!(&kind, Kind::Text { value, prefix: false, .. } if value.is_empty()) {
            return Err(QueryError::at(start + 1));
        }
        self.tokens.push(Token { kind, position: start + 1 });
        Ok(())
    }
}
