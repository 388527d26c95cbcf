//! What an expression means for folders. They are few, so that they are compared one by one, by the same rules on every
//! database.

use super::ast::{Comparison, Expression, Field, Test, Text};
use super::literal::{self, Span};
use super::{QueryError, words_of};
use crate::domain::Timestamp;

/// A condition on folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFilter(Condition);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Path,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    All,
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Words {
        column: Column,
        words: Vec<String>,
        prefix: bool,
    },
    Is {
        column: Column,
        value: String,
    },
    Begins {
        column: Column,
        value: String,
    },
    /// The folder itself or one below it.
    Tree(String),
    Created(Span),
}

impl FolderFilter {
    /// The condition that an expression means. Fields are `name`, `path` and `created_at`.
    pub fn new(expression: &Expression, now: Timestamp) -> Result<Self, QueryError> {
        read(expression, now).map(FolderFilter)
    }

    /// Whether a folder meets it.
    pub fn matches(&self, name: &str, path: &str, created_at: Timestamp) -> bool {
        self.0.matches(&|column| if column == Column::Name { name } else { path }, created_at.unix_micros())
    }

    /// A beginning that the paths of all folders that meet it have.
    pub fn beginning(&self) -> &str {
        match &self.0 {
            Condition::And(parts) => {
                parts.iter().map(Condition::beginning).max_by_key(|text| text.len()).unwrap_or_default()
            }
            other => other.beginning(),
        }
    }
}

impl Condition {
    fn beginning(&self) -> &str {
        match self {
            Condition::Is { column: Column::Path, value } | Condition::Begins { column: Column::Path, value } => value,
            Condition::Tree(path) => path,
            _ => "",
        }
    }

    fn matches<'f>(&self, text: &dyn Fn(Column) -> &'f str, created_at: i64) -> bool {
        match self {
            Condition::All => true,
            Condition::And(parts) => parts.iter().all(|part| part.matches(text, created_at)),
            Condition::Or(parts) => parts.iter().any(|part| part.matches(text, created_at)),
            Condition::Not(part) => !part.matches(text, created_at),
            Condition::Words { column, words, prefix } => {
                let known: Vec<String> = words_of(text(*column)).collect();
                words.iter().enumerate().all(|(index, word)| match *prefix && index + 1 == words.len() {
                    true => known.iter().any(|known| known.starts_with(word.as_str())),
                    false => known.contains(word),
                })
            }
            Condition::Is { column, value } => text(*column) == value,
            Condition::Begins { column, value } => text(*column).starts_with(value.as_str()),
            Condition::Tree(tree) => {
                let path = text(Column::Path);
                path.strip_prefix(tree.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Condition::Created(span) => (span.low..=span.high).contains(&created_at),
        }
    }
}

fn read(expression: &Expression, now: Timestamp) -> Result<Condition, QueryError> {
    let all = |parts: &[Expression]| parts.iter().map(|part| read(part, now)).collect::<Result<Vec<_>, _>>();
    Ok(match expression {
        Expression::All => Condition::All,
        Expression::And(parts) => Condition::And(all(parts)?),
        Expression::Or(parts) => Condition::Or(all(parts)?),
        Expression::Not(part) => Condition::Not(Box::new(read(part, now)?)),
        Expression::Term(text) => by_words(Column::Path, text),
        Expression::Field(field) => match field.name.as_str() {
            "name" => text(Column::Name, field)?,
            "path" => text(Column::Path, field)?,
            "created_at" => created(&field.test, now)?,
            other => {
                let reason = format!("there is no field {other} of folders");
                return Err(QueryError::because(field.position.0, reason));
            }
        },
    })
}

fn by_words(column: Column, text: &Text) -> Condition {
    let words: Vec<String> = words_of(&text.value).collect();
    match words.is_empty() {
        // What has no words is the whole name or none.
        true => Condition::Is { column, value: text.value.clone() },
        false => Condition::Words { column, words, prefix: text.prefix },
    }
}

fn text(column: Column, field: &Field) -> Result<Condition, QueryError> {
    Ok(match &field.test {
        Test::Has(text) | Test::Is(text) if text.prefix && text.value.is_empty() => Condition::All,
        Test::Has(text) | Test::Is(text) if text.prefix && column == Column::Path => {
            let value = text.value.trim_start_matches('/');
            match value.strip_suffix('/') {
                Some("") => Condition::All,
                Some(path) => Condition::Tree(path.to_owned()),
                None => Condition::Begins { column, value: value.to_owned() },
            }
        }
        Test::Has(text) if text.prefix && text.value.chars().all(char::is_alphanumeric) => by_words(column, text),
        Test::Has(text) | Test::Is(text) if text.prefix => Condition::Begins { column, value: text.value.clone() },
        Test::Has(text) => by_words(column, text),
        Test::Is(text) => Condition::Is { column, value: text.value.trim_matches('/').to_owned() },
        Test::Compare(..) | Test::Range { .. } => {
            return Err(QueryError::because(field.position.0, format!("{} has no order", field.name)));
        }
    })
}

fn created(test: &Test, now: Timestamp) -> Result<Condition, QueryError> {
    let moment = |text: &Text| match literal::moment(&text.value, now) {
        Some(moment) if !text.prefix => Ok(moment),
        _ => Err(QueryError::because(text.position.0, "it is no point in time")),
    };
    let mut all = Span { low: i64::MIN, high: i64::MAX };
    match test {
        Test::Has(text) | Test::Is(text) => {
            let moment = moment(text)?;
            all = Span { low: moment.span.low, high: if moment.relative { i64::MAX } else { moment.span.high } };
        }
        Test::Compare(comparison, text) => {
            let span = moment(text)?.span;
            match comparison {
                Comparison::Less => all.high = span.low.saturating_sub(1),
                Comparison::LessOrEqual => all.high = span.high,
                Comparison::Greater => all.low = span.high.saturating_add(1),
                Comparison::GreaterOrEqual => all.low = span.low,
            }
        }
        Test::Range { low, high, low_inclusive, high_inclusive } => {
            if let Some(text) = low {
                let span = moment(text)?.span;
                all.low = if *low_inclusive { span.low } else { span.high.saturating_add(1) };
            }
            if let Some(text) = high {
                let span = moment(text)?.span;
                all.high = if *high_inclusive { span.high } else { span.low.saturating_sub(1) };
            }
        }
    }
    Ok(Condition::Created(all))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::search::parse;

    #[test]
    fn folders_are_found_by_name_path_and_age() {
        let now = Timestamp::from_unix_seconds(1_700_000_000);
        let folders = [("trips", "trips", 10), ("Alps 2024", "trips/Alps 2024", 5), ("alps", "old/alps", 400)];
        for (text, wanted, beginning) in [
            ("", vec![0, 1, 2], ""),
            ("name:alps", vec![1, 2], ""),
            ("name=alps", vec![2], ""),
            ("path=\"trips/Alps 2024\"", vec![1], "trips/Alps 2024"),
            ("path:trips/*", vec![0, 1], "trips"),
            ("path:tr*", vec![0, 1], "tr"),
            ("path:\"*\"", vec![0, 1, 2], ""),
            ("alps AND NOT path:trips/*", vec![2], ""),
            ("trips", vec![0, 1], ""),
            ("name:al*", vec![1, 2], ""),
            ("created_at>1w", vec![1], ""),
            ("created_at<1m OR name=trips", vec![0, 2], ""),
            ("created_at:[2y TO 8d] AND path:trips/*", vec![0], "trips"),
            ("-alps", vec![0], ""),
        ] {
            let filter = FolderFilter::new(&parse(text).unwrap(), now).unwrap();
            let found = folders.iter().enumerate().filter(|(_, (name, path, days))| {
                filter.matches(name, path, Timestamp::from_unix_seconds(1_700_000_000 - days * 86_400))
            });
            assert_eq!(found.map(|(index, _)| index).collect::<Vec<_>>(), wanted, "{text}");
            assert_eq!(filter.beginning(), beginning, "{text}");
        }
        for (text, position) in [("a AND width>5", 7), ("path>a", 1), ("created_at:soon", 12)] {
            let error = FolderFilter::new(&parse(text).unwrap(), now).unwrap_err();
            assert_eq!(error.position, position, "{text}");
        }
    }
}
