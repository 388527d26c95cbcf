//! Tokens to a tree. NOT binds more closely than AND, AND more closely than OR; parts side by side are joined by AND.

use super::ast::{Comparison, Expression, Field, Position, Test, Text};
use super::lexer::{Kind, Token, tokens};
use super::{MAX_DEPTH, MAX_TERMS, QueryError};

/// Reads an expression; a blank one has no condition.
pub fn parse(text: &str) -> Result<Expression, QueryError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, terms: 0 };
    if parser.kind() == &Kind::End {
        return Ok(Expression::All);
    }
    let expression = parser.any_of(None)?;
    match parser.kind() {
        Kind::End => Ok(expression),
        _ => Err(parser.error()),
    }
}

/// A field whose values stand in parentheses: `field:(a OR b)`.
#[derive(Clone, Copy)]
struct SetOf<'f> {
    name: &'f str,
    exact: bool,
    position: usize,
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    terms: usize,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        // The last token is the end, behind which nothing moves.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn kind(&self) -> &Kind {
        &self.token().kind
    }

    fn next(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn skip(&mut self, kind: &Kind) -> bool {
        let found = self.kind() == kind;
        if found {
            self.next();
        }
        found
    }

    fn error(&self) -> QueryError {
        QueryError::at(self.token().position)
    }

    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let reason = format!("conditions are nested more than {MAX_DEPTH} deep");
            return Err(QueryError::because(self.token().position, reason));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let reason = format!("there are more than {MAX_TERMS} conditions");
            return Err(QueryError::because(self.token().position, reason));
        }
        Ok(())
    }

    fn any_of(&mut self, set: Option<SetOf<'_>>) -> Result<Expression, QueryError> {
        let mut parts = vec![self.all_of(set)?];
        while self.skip(&Kind::Or) {
            parts.push(self.all_of(set)?);
        }
        Ok(joined(parts, Expression::Or))
    }

    fn all_of(&mut self, set: Option<SetOf<'_>>) -> Result<Expression, QueryError> {
        let mut parts = vec![self.part(set)?];
        loop {
            match self.kind() {
                Kind::And => self.next(),
                Kind::Or | Kind::Close | Kind::End => return Ok(joined(parts, Expression::And)),
                // A sign before the next part, or the part itself.
                _ => {}
            }
            parts.push(self.part(set)?);
        }
    }

    fn part(&mut self, set: Option<SetOf<'_>>) -> Result<Expression, QueryError> {
        self.skip(&Kind::Plus);
        match self.kind() {
            Kind::Not | Kind::Minus => {
                self.deeper()?;
                self.next();
                let part = self.part(set)?;
                self.depth -= 1;
                Ok(Expression::Not(Box::new(part)))
            }
            Kind::Open => {
                self.deeper()?;
                self.next();
                let inner = self.any_of(set)?;
                if !self.skip(&Kind::Close) {
                    return Err(self.error());
                }
                self.depth -= 1;
                Ok(inner)
            }
            Kind::Text { .. } | Kind::To => match set {
                Some(set) => {
                    self.count()?;
                    let text = self.value(true)?;
                    let test = if set.exact { Test::Is(text) } else { Test::Has(text) };
                    let (name, position) = (set.name.to_owned(), Position(set.position));
                    Ok(Expression::Field(Field { name, test, position }))
                }
                None => self.term_or_field(),
            },
            _ => Err(self.error()),
        }
    }

    fn term_or_field(&mut self) -> Result<Expression, QueryError> {
        self.count()?;
        let position = self.token().position;
        let quoted = matches!(self.kind(), Kind::Text { quoted: true, .. });
        let text = self.value(true)?;
        let operator = self.kind().clone();
        let comparison = comparison(&operator);
        if comparison.is_none() && !matches!(operator, Kind::Colon | Kind::Equal) {
            // A lone `*` searches for nothing.
            if text.value.is_empty() {
                return Err(QueryError::at(position));
            }
            return Ok(Expression::Term(text));
        }
        if quoted || text.prefix || text.value.is_empty() {
            return Err(self.error());
        }
        self.next();
        let field = |test| Expression::Field(Field { name: text.value.clone(), test, position: Position(position) });
        if let Some(comparison) = comparison {
            return Ok(field(Test::Compare(comparison, self.value(false)?)));
        }
        let mut exact = operator == Kind::Equal;
        if !exact {
            let inner = self.kind().clone();
            if let Some(comparison) = self::comparison(&inner) {
                self.next();
                return Ok(field(Test::Compare(comparison, self.value(false)?)));
            }
            if let Kind::RangeOpen { inclusive } = inner {
                self.next();
                return Ok(field(self.range(inclusive)?));
            }
            exact = self.skip(&Kind::Equal);
        }
        if self.kind() == &Kind::Open {
            self.terms -= 1;
            self.deeper()?;
            self.next();
            let set = self.any_of(Some(SetOf { name: &text.value, exact, position }))?;
            if !self.skip(&Kind::Close) {
                return Err(self.error());
            }
            self.depth -= 1;
            return Ok(set);
        }
        let value = self.value(true)?;
        Ok(field(if exact { Test::Is(value) } else { Test::Has(value) }))
    }

    /// The ends of a range, behind its first bracket.
    fn range(&mut self, low_inclusive: bool) -> Result<Test, QueryError> {
        let low = self.end()?;
        if !self.skip(&Kind::To) {
            return Err(self.error());
        }
        let high = self.end()?;
        let Kind::RangeClose { inclusive: high_inclusive } = *self.kind() else { return Err(self.error()) };
        self.next();
        Ok(Test::Range { low, high, low_inclusive, high_inclusive })
    }

    fn end(&mut self) -> Result<Option<Text>, QueryError> {
        if let Kind::Text { value, prefix: true, .. } = self.kind()
            && value.is_empty()
        {
            self.next();
            return Ok(None);
        }
        if self.kind() == &Kind::To {
            return Err(self.error());
        }
        self.value(false).map(Some)
    }

    /// A text; with a `*` at its end only where `prefix` allows it.
    fn value(&mut self, prefix_allowed: bool) -> Result<Text, QueryError> {
        let position = Position(self.token().position);
        let text = match self.kind() {
            Kind::Text { value, prefix, .. } if prefix_allowed || !prefix => {
                Text { value: value.clone(), prefix: *prefix, position }
            }
            Kind::To => Text { value: "TO".to_owned(), prefix: false, position },
            _ => return Err(self.error()),
        };
        self.next();
        Ok(text)
    }
}

fn comparison(kind: &Kind) -> Option<Comparison> {
    match kind {
        Kind::Less => Some(Comparison::Less),
        Kind::LessOrEqual => Some(Comparison::LessOrEqual),
        Kind::Greater => Some(Comparison::Greater),
        Kind::GreaterOrEqual => Some(Comparison::GreaterOrEqual),
        _ => None,
    }
}

fn joined(mut parts: Vec<Expression>, join: impl FnOnce(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
