//! A filter as a condition on rows of `assets`, the same on both databases: texts are compared by their bytes, `lower`
//! knows ASCII only, and user text is never a pattern.

use super::super::super::{
    record::Value,
    sql::{Dialect, text},
};
use super::super::{
    filter::{Condition, LAST_CHARACTER},
    terms,
};
use crate::{
    domain::{CloudId, ResourceType},
    search::{Filter, LabelKind, NumberColumn, SortColumn, TextColumn, TextTest, words_of},
};

pub(super) fn text_column(column: TextColumn) -> &'static str {
    match column {
        TextColumn::AssetId => "assets.id",
        TextColumn::PublicId => "assets.public_id",
        TextColumn::Filename => "assets.filename",
        TextColumn::DisplayName => {
            "CASE WHEN assets.display_name = '' THEN assets.filename ELSE assets.display_name END"
        }
        TextColumn::AssetFolder => "assets.asset_folder",
        TextColumn::Folder => "assets.folder",
        TextColumn::Format => "assets.format",
        TextColumn::ResourceType => "assets.resource_type",
        TextColumn::DeliveryType => "assets.delivery_type",
        TextColumn::AccessMode => "assets.access_mode",
        TextColumn::Etag => "assets.etag",
        TextColumn::ApiKey => "assets.api_key",
    }
}

pub(super) fn number_column(column: NumberColumn) -> &'static str {
    match column {
        NumberColumn::Bytes => "assets.bytes",
        NumberColumn::BackupBytes => "CASE WHEN assets.backed_up THEN assets.bytes ELSE 0 END",
        NumberColumn::Width => "assets.width",
        NumberColumn::Height => "assets.height",
        NumberColumn::Pixels => "assets.pixels",
        NumberColumn::AspectRatio => "assets.aspect_ratio",
        NumberColumn::Duration => "assets.duration_ms",
        NumberColumn::Pages => "assets.pages",
        NumberColumn::FaceCount => "assets.face_count",
        NumberColumn::Version => "assets.version",
        NumberColumn::CreatedAt => "assets.created_at",
        NumberColumn::UploadedAt => "assets.uploaded_at",
        NumberColumn::UpdatedAt => "assets.updated_at",
    }
}

pub(super) fn sort_column(column: SortColumn) -> &'static str {
    match column {
        SortColumn::Text(column) => text_column(column),
        SortColumn::Number(column) => number_column(column),
        SortColumn::Status => "CAST(CASE WHEN assets.placeholder THEN 1 ELSE 0 END AS BIGINT)",
    }
}

pub(super) fn label_kind(kind: LabelKind) -> &'static str {
    match kind {
        LabelKind::Tag => terms::TAG,
        LabelKind::Context => terms::CONTEXT,
        LabelKind::Metadata => terms::METADATA,
        LabelKind::Moderation => terms::MODERATION,
    }
}

/// Writes conditions for one database.
#[derive(Clone, Copy)]
pub(super) struct Writer<'c> {
    pub dialect: Dialect,
    pub cloud: &'c CloudId,
}

impl Writer<'_> {
    /// The expression without its indexes: SQLite, which has no statistics, must not leave the way that was chosen.
    pub fn loose(self, expression: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("+{expression}"),
            Dialect::Postgres => expression.to_owned(),
        }
    }

    fn position(self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "instr",
            Dialect::Postgres => "strpos",
        }
    }

    pub fn write(self, filter: &Filter, out: &mut Condition) {
        match filter {
            Filter::All => out.sql.push_str("1 = 1"),
            Filter::None => out.sql.push_str("1 = 0"),
            Filter::And(parts) => self.write_joined(parts, " AND ", out),
            Filter::Or(parts) => self.write_joined(parts, " OR ", out),
            Filter::Not(part) => {
                out.sql.push_str("NOT ");
                self.write_joined(std::slice::from_ref(&**part), "", out);
            }
            Filter::Words { field, text, prefix } => self.write_words(field.as_deref(), text, *prefix, out),
            Filter::Text { column, test } => self.write_test(&self.loose(text_column(*column)), test, out),
            Filter::Number { column, low, high } => {
                let column = self.loose(number_column(*column));
                write_span(&column, *low, *high, out);
            }
            Filter::Label { kind, name, value, number } => {
                out.sql.push_str("EXISTS (SELECT 1 FROM labels WHERE labels.asset = assets.id AND labels.kind = ?");
                out.values.push(text(label_kind(*kind)));
                self.write_label(name, value, *number, out);
                out.sql.push(')');
            }
            Filter::Placeholder(flag) => {
                out.sql.push_str(&format!("{} = ?", self.loose("assets.placeholder")));
                out.values.push(Value::Flag(*flag));
            }
            Filter::Transparent(flag) => {
                let (alpha, kind) = (self.loose("assets.has_alpha"), self.loose("assets.resource_type"));
                out.sql.push_str(&format!("({alpha} = ? AND {kind} = ?)"));
                out.values.extend([Value::Flag(*flag), text(ResourceType::Image.as_str())]);
            }
        }
    }

    fn write_joined(self, parts: &[Filter], word: &str, out: &mut Condition) {
        out.sql.push('(');
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                out.sql.push_str(word);
            }
            self.write(part, out);
        }
        out.sql.push(')');
    }

    /// The words of an asset are few: they are found by the asset where they need not stand in one field.
    fn write_words(self, field: Option<&str>, given: &str, prefix: bool, out: &mut Condition) {
        let words: Vec<String> = words_of(given).collect();
        out.sql.push('(');
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                out.sql.push_str(" AND ");
            }
            out.sql.push_str("EXISTS (SELECT 1 FROM words WHERE words.asset = assets.id AND ");
            let open = prefix && index + 1 == words.len() && ends_in_word(given);
            if !open && field.is_some_and(|field| !field.ends_with('.')) {
                out.sql.push_str("words.cloud = ? AND ");
                out.values.push(text(self.cloud.as_str()));
            }
            write_word(word, open, field, out);
            out.sql.push(')');
        }
        if words.is_empty() {
            out.sql.push_str("1 = 0");
        }
        out.sql.push(')');
    }

    /// Name, value and number of a label.
    pub fn write_label(self, name: &TextTest, value: &TextTest, number: Option<(i64, i64)>, out: &mut Condition) {
        for (column, test) in [("labels.name", name), ("labels.value", value)] {
            if *test != TextTest::Any {
                out.sql.push_str(" AND ");
                self.write_test(column, &indexed(test), out);
            }
        }
        if let Some((low, high)) = number {
            out.sql.push_str(" AND labels.number IS NOT NULL AND ");
            write_span("labels.number", low, high, out);
        }
    }

    pub fn write_test(self, column: &str, test: &TextTest, out: &mut Condition) {
        match test {
            TextTest::Any => out.sql.push_str(&format!("{column} <> ''")),
            TextTest::Is(value) => {
                out.sql.push_str(&format!("{column} = ?"));
                out.values.push(text(value.as_str()));
            }
            TextTest::Begins(start) => write_beginning(column, start, out),
            TextTest::Tree(path) => {
                out.sql.push_str(&format!("({column} = ? OR "));
                out.values.push(text(path.as_str()));
                write_beginning(column, &format!("{path}/"), out);
                out.sql.push(')');
            }
            TextTest::Contains(part) => {
                out.sql.push_str(&format!("{}(lower({column}), ?) > 0", self.position()));
                out.values.push(text(part.as_str()));
            }
            TextTest::Between { low, high } => {
                out.sql.push_str("(1 = 1");
                for (edge, strict, loose) in [(low, ">", ">="), (high, "<", "<=")] {
                    if let Some(edge) = edge {
                        let sign = if edge.inclusive { loose } else { strict };
                        out.sql.push_str(&format!(" AND {column} {sign} ?"));
                        out.values.push(text(edge.value.as_str()));
                    }
                }
                out.sql.push(')');
            }
        }
    }
}

/// A text of labels as the index holds it.
fn indexed(test: &TextTest) -> TextTest {
    match test {
        TextTest::Is(value) => TextTest::Is(terms::indexed(value)),
        other => other.clone(),
    }
}

/// Whether the last word of a text goes up to its end.
pub(super) fn ends_in_word(text: &str) -> bool {
    text.chars().last().is_some_and(char::is_alphanumeric)
}

/// One word, or with `open` all that begin so, in a field.
pub(super) fn write_word(word: &str, open: bool, field: Option<&str>, out: &mut Condition) {
    if open {
        write_beginning("words.word", word, out);
    } else {
        out.sql.push_str("words.word = ?");
        out.values.push(text(word));
    }
    match field {
        None => {}
        Some(start) if start.ends_with('.') => {
            out.sql.push_str(" AND ");
            write_beginning("words.field", start, out);
        }
        Some(field) => {
            out.sql.push_str(" AND words.field = ?");
            out.values.push(text(terms::indexed(field)));
        }
    }
}

pub(super) fn write_beginning(column: &str, start: &str, out: &mut Condition) {
    out.sql.push_str(&format!("({column} >= ? AND {column} < ?)"));
    out.values.extend([text(start), text(format!("{start}{LAST_CHARACTER}"))]);
}

pub(super) fn write_span(column: &str, low: i64, high: i64, out: &mut Condition) {
    if low == high {
        out.sql.push_str(&format!("{column} = ?"));
        out.values.push(Value::Number(low));
        return;
    }
    out.sql.push_str(&format!("({column} >= ? AND {column} <= ?)"));
    out.values.extend([Value::Number(low), Value::Number(high)]);
}
