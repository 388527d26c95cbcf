//! The tree of an expression, and its canonical text.

use std::fmt::{self, Display, Formatter, Write};

/// Where something stands in the text that it was read from, in characters from 1. Expressions that differ in nothing
/// else are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position(pub usize);

impl PartialEq for Position {
    fn eq(&self, _: &Position) -> bool {
        true
    }
}

impl Eq for Position {}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// No condition.
    All,
    /// At least two parts.
    And(Vec<Expression>),
    /// At least two parts.
    Or(Vec<Expression>),
    Not(Box<Expression>),
    /// A text in any field.
    Term(Text),
    Field(Field),
}

/// A condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// As it was written; `context.key` is one name.
    pub name: String,
    pub test: Test,
    pub position: Position,
}

/// A text to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub value: String,
    /// Whether more may follow: a `*` stood at the end.
    pub prefix: bool,
    pub position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `:`
    Has(Text),
    /// `=`
    Is(Text),
    Compare(Comparison, Text),
    /// `[low TO high]`; an end that is `None` was written `*`.
    Range {
        low: Option<Text>,
        high: Option<Text>,
        low_inclusive: bool,
        high_inclusive: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Display for Expression {
    /// The canonical text: reading it gives an equal expression.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.write(formatter, false)
    }
}

impl Expression {
    fn write(&self, formatter: &mut Formatter<'_>, inner: bool) -> fmt::Result {
        match self {
            Expression::All => Ok(()),
            Expression::And(parts) => write_joined(formatter, parts, " AND ", inner),
            Expression::Or(parts) => write_joined(formatter, parts, " OR ", inner),
            Expression::Not(part) => {
                formatter.write_str("NOT ")?;
                part.write(formatter, true)
            }
            Expression::Term(text) => write!(formatter, "{text}"),
            Expression::Field(field) => write!(formatter, "{field}"),
        }
    }
}

fn write_joined(formatter: &mut Formatter<'_>, parts: &[Expression], word: &str, inner: bool) -> fmt::Result {
    if inner {
        formatter.write_char('(')?;
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(word)?;
        }
        part.write(formatter, true)?;
    }
    if inner {
        formatter.write_char(')')?;
    }
    Ok(())
}

impl Display for Text {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_char('"')?;
        for character in self.value.chars() {
            if matches!(character, '"' | '*' | '\\') {
                formatter.write_char('\\')?;
            }
            formatter.write_char(character)?;
        }
        formatter.write_str(if self.prefix { "*\"" } else { "\"" })
    }
}

impl Display for Field {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let keyword = matches!(self.name.as_str(), "AND" | "OR" | "NOT" | "TO");
        for (index, character) in self.name.chars().enumerate() {
            if !(character.is_alphanumeric() || matches!(character, '_' | '.')) || (keyword && index == 0) {
                formatter.write_char('\\')?;
            }
            formatter.write_char(character)?;
        }
        match &self.test {
            Test::Has(text) => write!(formatter, ":{text}"),
            Test::Is(text) => write!(formatter, "={text}"),
            Test::Compare(comparison, text) => {
                let sign = match comparison {
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                };
                write!(formatter, "{sign}{text}")
            }
            Test::Range { low, high, low_inclusive, high_inclusive } => {
                formatter.write_str(if *low_inclusive { ":[" } else { ":{" })?;
                write_end(formatter, low.as_ref())?;
                formatter.write_str(" TO ")?;
                write_end(formatter, high.as_ref())?;
                formatter.write_char(if *high_inclusive { ']' } else { '}' })
            }
        }
    }
}

fn write_end(formatter: &mut Formatter<'_>, end: Option<&Text>) -> fmt::Result {
    match end {
        None => formatter.write_char('*'),
        Some(text) => write!(formatter, "{text}"),
    }
}
