//! What an expression means for assets: conditions on columns, labels and words, with every literal read.

use super::ast::{Comparison, Expression, Field, Test, Text};
use super::fields::{self, NumberColumn, Target, TextColumn, Unit};
use super::literal::{self, Span};
use super::{QueryError, TextEdge};
use crate::domain::Timestamp;

/// What an expression is read against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// What relative times are measured from.
    pub now: Timestamp,
    /// Whether assets lie in the folders that their public ids spell.
    pub fixed_folders: bool,
}

/// Kinds of labels that assets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    Tag,
    Context,
    Metadata,
    Moderation,
}

/// A condition on one text, by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextTest {
    Any,
    Is(String),
    Begins(String),
    /// This folder or one below it.
    Tree(String),
    /// Contains it, whatever the case of ASCII letters; in lower case here.
    Contains(String),
    Between {
        low: Option<TextEdge>,
        high: Option<TextEdge>,
    },
}

/// A condition on assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    All,
    None,
    /// At least two parts, of which none is an `And` or a constant.
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// All words of `text` stand in one field (`None`: in any field each). A `field` that ends in a dot means all whose
    /// names begin so. With `prefix` the last word may go on.
    Words {
        field: Option<String>,
        text: String,
        prefix: bool,
    },
    Text {
        column: TextColumn,
        test: TextTest,
    },
    /// `low <= column <= high`
    Number {
        column: NumberColumn,
        low: i64,
        high: i64,
    },
    /// There is a label that meets all three conditions.
    Label {
        kind: LabelKind,
        name: TextTest,
        value: TextTest,
        number: Option<(i64, i64)>,
    },
    /// Whether only a backup is left of the asset.
    Placeholder(bool),
    Transparent(bool),
}

impl Filter {
    /// The condition that an expression means. Placeholders are found only where it names the field `status`.
    pub fn new(expression: &Expression, scope: Scope) -> Result<Self, QueryError> {
        let mut reader = Reader { scope, names_status: false };
        let filter = reader.read(expression)?;
        Ok(if reader.names_status { filter } else { Filter::all_of(vec![Filter::Placeholder(false), filter]) })
    }

    /// All of them, with ranges of one column made one.
    pub fn all_of(parts: Vec<Filter>) -> Self {
        let mut flat: Vec<Filter> = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Filter::All => {}
                Filter::None => return Filter::None,
                Filter::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        let mut merged: Vec<Filter> = Vec::with_capacity(flat.len());
        for part in flat {
            if let Filter::Number { column, low, high } = part {
                let known = merged.iter_mut().find_map(|known| match known {
                    Filter::Number { column: of, low, high } if *of == column => Some((low, high)),
                    _ => None,
                });
                match known {
                    Some((known_low, known_high)) => {
                        *known_low = low.max(*known_low);
                        *known_high = high.min(*known_high);
                    }
                    None => merged.push(Filter::Number { column, low, high }),
                }
            } else {
                merged.push(part);
            }
        }
        if merged.iter().any(|part| matches!(part, Filter::Number { low, high, .. } if low > high)) {
            return Filter::None;
        }
        match merged.len() {
            0 => Filter::All,
            1 => merged.remove(0),
            _ => Filter::And(merged),
        }
    }

    /// Any of them.
    pub fn any_of(parts: Vec<Filter>) -> Self {
        let mut flat: Vec<Filter> = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Filter::All => return Filter::All,
                Filter::None => {}
                Filter::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Filter::None,
            1 => flat.remove(0),
            _ => Filter::Or(flat),
        }
    }

    fn negated(self) -> Self {
        match self {
            Filter::All => Filter::None,
            Filter::None => Filter::All,
            Filter::Not(inner) => *inner,
            Filter::Placeholder(flag) => Filter::Placeholder(!flag),
            other => Filter::Not(Box::new(other)),
        }
    }

    fn words(field: Option<&str>, text: &Text) -> Self {
        if !text.value.chars().any(char::is_alphanumeric) {
            return Filter::None;
        }
        Filter::Words { field: field.map(str::to_owned), text: text.value.clone(), prefix: text.prefix }
    }
}

struct Reader {
    scope: Scope,
    names_status: bool,
}

impl Reader {
    fn read(&mut self, expression: &Expression) -> Result<Filter, QueryError> {
        Ok(match expression {
            Expression::All => Filter::All,
            Expression::And(parts) => Filter::all_of(self.read_all(parts)?),
            Expression::Or(parts) => Filter::any_of(self.read_all(parts)?),
            Expression::Not(part) => self.read(part)?.negated(),
            Expression::Term(text) => Filter::words(None, text),
            Expression::Field(field) => self.field(field)?,
        })
    }

    fn read_all(&mut self, parts: &[Expression]) -> Result<Vec<Filter>, QueryError> {
        parts.iter().map(|part| self.read(part)).collect()
    }

    fn field(&mut self, field: &Field) -> Result<Filter, QueryError> {
        let refused = |reason: String| QueryError::because(field.position.0, reason);
        match fields::target(&field.name) {
            None => Err(refused(format!("there is no field {}", field.name))),
            Some(Target::Unsearchable) => {
                Err(refused(format!("searching by {} is not supported by this server", field.name)))
            }
            Some(Target::Text(column)) => self.text(column, field),
            Some(Target::Number(column)) => self.number(column, &field.test),
            Some(Target::Label { kind, name }) => label(kind, name, field),
            Some(Target::ModerationKind) => {
                Ok(moderation(of_text(TextColumn::Format, field)?, |name| (name, TextTest::Any)))
            }
            Some(Target::ModerationStatus) => {
                Ok(moderation(of_text(TextColumn::Format, field)?, |value| (TextTest::Any, value)))
            }
            Some(Target::Status) => {
                self.names_status = true;
                let text = whole(field)?;
                Ok(match text.value.to_ascii_lowercase().as_str() {
                    "" if text.prefix => Filter::All,
                    "active" => Filter::Placeholder(false),
                    "deleted" => Filter::Placeholder(true),
                    // Nothing waits here: an asset is there as soon as it is acknowledged.
                    "pending" => Filter::None,
                    other => return Err(QueryError::because(text.position.0, format!("there is no status {other}"))),
                })
            }
            Some(Target::Transparent) => {
                let text = whole(field)?;
                match text.value.to_ascii_lowercase().as_str() {
                    "true" | "1" => Ok(Filter::Transparent(true)),
                    "false" | "0" => Ok(Filter::Transparent(false)),
                    _ => Err(QueryError::because(text.position.0, "it is neither true nor false")),
                }
            }
        }
    }

    fn text(&self, column: TextColumn, field: &Field) -> Result<Filter, QueryError> {
        let folder = matches!(column, TextColumn::Folder | TextColumn::AssetFolder);
        if column == TextColumn::Folder && !self.scope.fixed_folders {
            // Such assets have no folder but their `asset_folder`.
            of_text(column, field)?;
            return Ok(Filter::None);
        }
        let words = column.word_field();
        if let (Test::Has(text), Some(words)) = (&field.test, words) {
            let plain = !text.value.is_empty() && text.value.chars().all(char::is_alphanumeric);
            let has_words = text.value.chars().any(char::is_alphanumeric);
            if text.prefix && plain && !folder {
                return Ok(Filter::words(Some(words), text));
            }
            if !text.prefix && has_words {
                let found = Filter::words(Some(words), text);
                // What has no spaces is one name, of which the words alone say too little.
                let whole = !plain && text.value.is_ascii() && !text.value.contains(char::is_whitespace);
                let contains = match whole {
                    true => Filter::Text { column, test: TextTest::Contains(text.value.to_ascii_lowercase()) },
                    false => Filter::All,
                };
                return Ok(Filter::all_of(vec![found, contains]));
            }
        }
        let test = match of_text(column, field)? {
            TextTest::Is(path) if folder => TextTest::Is(path.trim_matches('/').to_owned()),
            TextTest::Begins(start) if folder => match start.trim_start_matches('/').strip_suffix('/') {
                Some(path) => TextTest::Tree(path.to_owned()),
                None => TextTest::Begins(start.trim_start_matches('/').to_owned()),
            },
            other => other,
        };
        Ok(match test {
            TextTest::Any if folder => Filter::All,
            TextTest::Begins(start) if start.is_empty() => Filter::All,
            TextTest::Tree(path) if path.is_empty() => Filter::All,
            test => Filter::Text { column, test },
        })
    }

    fn number(&self, column: NumberColumn, test: &Test) -> Result<Filter, QueryError> {
        let span = |text: &Text| -> Result<(Span, bool), QueryError> {
            let refused = |what: &str| QueryError::because(text.position.0, format!("it is no {what}"));
            if text.prefix {
                return Err(QueryError::at(text.position.0));
            }
            let scaled = match column.unit() {
                Unit::Time => {
                    let moment =
                        literal::moment(&text.value, self.scope.now).ok_or_else(|| refused("point in time"))?;
                    return Ok((moment.span, moment.relative));
                }
                Unit::Bytes => literal::number(&text.value, 1, true),
                Unit::Ratio => literal::ratio(&text.value),
                Unit::Whole => literal::number(&text.value, 1, false),
                Unit::Seconds => literal::number(&text.value, 1000, false),
            };
            let scaled = scaled.ok_or_else(|| refused("number"))?;
            // Between two integers there is an empty span: what lies below it is up to `floor`.
            let low = if scaled.exact { scaled.floor } else { scaled.floor.saturating_add(1) };
            Ok((Span { low, high: scaled.floor }, false))
        };
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        match test {
            Test::Has(text) | Test::Is(text) if text.prefix && text.value.is_empty() => {}
            Test::Has(text) | Test::Is(text) => {
                let (span, relative) = span(text)?;
                (low, high) = (span.low, if relative { i64::MAX } else { span.high });
            }
            Test::Compare(comparison, text) => {
                let (span, _) = span(text)?;
                match comparison {
                    Comparison::Less => high = span.low.saturating_sub(1),
                    Comparison::LessOrEqual => high = span.high,
                    Comparison::Greater => low = span.high.saturating_add(1),
                    Comparison::GreaterOrEqual => low = span.low,
                }
            }
            Test::Range { low: from, high: to, low_inclusive, high_inclusive } => {
                if let Some(text) = from {
                    let (span, _) = span(text)?;
                    low = if *low_inclusive { span.low } else { span.high.saturating_add(1) };
                }
                if let Some(text) = to {
                    let (span, _) = span(text)?;
                    high = if *high_inclusive { span.high } else { span.low.saturating_sub(1) };
                }
            }
        }
        let low = low.max(column.least());
        Ok(if low > high { Filter::None } else { Filter::Number { column, low, high } })
    }
}

/// The one value that a field is compared with.
fn whole(field: &Field) -> Result<&Text, QueryError> {
    match &field.test {
        Test::Has(text) | Test::Is(text) if !text.prefix || text.value.is_empty() => Ok(text),
        _ => Err(QueryError::because(field.position.0, format!("{} has no order", field.name))),
    }
}

/// A condition by the bytes of a text.
fn of_text(column: TextColumn, field: &Field) -> Result<TextTest, QueryError> {
    let value = |text: &Text| if column.is_lower() { text.value.to_ascii_lowercase() } else { text.value.clone() };
    let edge = |text: &Text, inclusive: bool| TextEdge { value: value(text), inclusive };
    Ok(match &field.test {
        Test::Has(text) | Test::Is(text) if text.prefix && text.value.is_empty() => TextTest::Any,
        Test::Has(text) | Test::Is(text) if text.prefix => TextTest::Begins(value(text)),
        Test::Has(text) | Test::Is(text) => TextTest::Is(value(text)),
        Test::Compare(comparison, text) => match comparison {
            Comparison::Less => TextTest::Between { low: None, high: Some(edge(text, false)) },
            Comparison::LessOrEqual => TextTest::Between { low: None, high: Some(edge(text, true)) },
            Comparison::Greater => TextTest::Between { low: Some(edge(text, false)), high: None },
            Comparison::GreaterOrEqual => TextTest::Between { low: Some(edge(text, true)), high: None },
        },
        Test::Range { low, high, low_inclusive, high_inclusive } => TextTest::Between {
            low: low.as_ref().map(|text| edge(text, *low_inclusive)),
            high: high.as_ref().map(|text| edge(text, *high_inclusive)),
        },
    })
}

fn moderation(test: TextTest, place: impl FnOnce(TextTest) -> (TextTest, TextTest)) -> Filter {
    let (name, value) = place(test);
    Filter::Label { kind: LabelKind::Moderation, name, value, number: None }
}

/// A condition on tags, or on a value of the context or the metadata, by its key or (`None`) by any.
fn label(kind: LabelKind, key: Option<String>, field: &Field) -> Result<Filter, QueryError> {
    let word_field = match (kind, &key) {
        (LabelKind::Tag, _) => "tags".to_owned(),
        (_, Some(_)) => field.name.clone(),
        (_, None) => format!("{}.", field.name),
    };
    let with_value = |value: TextTest, number: Option<(i64, i64)>| match kind {
        LabelKind::Tag => Filter::Label { kind, name: value, value: TextTest::Any, number },
        _ => {
            let name = key.clone().map_or(TextTest::Any, TextTest::Is);
            Filter::Label { kind, name, value, number }
        }
    };
    let number = |text: &Text| literal::number(&text.value, 1, false).filter(|_| kind == LabelKind::Metadata);
    let exact = with_value(of_text(TextColumn::PublicId, field)?, None);
    Ok(match &field.test {
        Test::Has(text) if text.prefix => match !text.value.is_empty() && text.value.chars().all(char::is_alphanumeric)
        {
            true => Filter::words(Some(&word_field), text),
            false => exact,
        },
        // A value without words, or a number, which has none in the index, is found whole.
        Test::Has(text) => Filter::any_of(vec![Filter::words(Some(&word_field), text), exact]),
        Test::Is(_) => exact,
        Test::Compare(comparison, text) => match number(text) {
            Some(scaled) => {
                let low = if scaled.exact { scaled.floor } else { scaled.floor.saturating_add(1) };
                let span = match comparison {
                    Comparison::Less => (i64::MIN, low.saturating_sub(1)),
                    Comparison::LessOrEqual => (i64::MIN, scaled.floor),
                    Comparison::Greater => (scaled.floor.saturating_add(1), i64::MAX),
                    Comparison::GreaterOrEqual => (low, i64::MAX),
                };
                with_value(TextTest::Any, Some(span))
            }
            None => exact,
        },
        Test::Range { low, high, low_inclusive, high_inclusive } => {
            let numbers = (low.as_ref().map(number), high.as_ref().map(number));
            if !matches!(numbers, (Some(Some(_)) | None, Some(Some(_)) | None)) || numbers == (None, None) {
                return Ok(exact);
            }
            let from = numbers.0.flatten().map_or(i64::MIN, |scaled| match (low_inclusive, scaled.exact) {
                (true, true) => scaled.floor,
                _ => scaled.floor.saturating_add(1),
            });
            let to = numbers.1.flatten().map_or(i64::MAX, |scaled| match (high_inclusive, scaled.exact) {
                (false, true) => scaled.floor.saturating_sub(1),
                _ => scaled.floor,
            });
            if from > to { Filter::None } else { with_value(TextTest::Any, Some((from, to))) }
        }
    })
}
