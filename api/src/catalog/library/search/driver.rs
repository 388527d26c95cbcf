//! Where a search begins: the smallest set of assets that an index gives and that holds all matches. Neither database
//! guesses that well for texts and labels, so that the sets are counted, up to a limit.

use super::super::super::{
    Result,
    record::{Columns, Value},
    sql::{Sql, text},
};
use super::super::filter::Condition;
use super::condition::{
    Writer, ends_in_word, label_kind, number_column, text_column, write_beginning, write_span, write_word,
};
use crate::search::{Filter, NumberColumn, TextColumn, TextTest, words_of};

/// A set up to this size is gone through as a whole.
pub(super) const SELECTIVE: i64 = 20_000;
/// Below this size no smaller set is looked for.
const SMALL: i64 = 200;
/// Most sets that are counted.
const N_PROBES: usize = 8;

/// A set of assets, as a query with the column `asset`.
pub(super) struct Driver {
    pub set: Condition,
    /// The less, the smaller it may be.
    rank: u8,
    /// Whether it is exactly the matches.
    pub exact: bool,
    /// The part of an `And` that it is exactly the matches of.
    pub covers: Option<usize>,
    /// Whether it is an index of `assets` itself, which going through all assets is not slower than, unless it is small.
    pub own: bool,
}

/// A counted set.
pub(super) struct Chosen {
    pub driver: Driver,
    pub selective: bool,
}

/// Chooses among the sets that hold all matches of a filter; `None` when no index gives one.
pub(super) async fn choose(sql: &mut dyn Sql, writer: Writer<'_>, filter: &Filter) -> Result<Option<Chosen>> {
    let mut drivers = drivers(writer, filter);
    drivers.sort_by_key(|driver| driver.rank);
    drivers.truncate(N_PROBES);
    let mut best: Option<(i64, Driver)> = None;
    for driver in drivers {
        let probe = format!("SELECT count(*) FROM (SELECT asset FROM ({}) AS found LIMIT ?) AS probe", driver.set.sql);
        let mut values = driver.set.values.clone();
        values.push(Value::Number(SELECTIVE + 1));
        let rows = sql.query_once(&probe, &values).await?;
        let count = rows.first().map(|row| row.number(0)).transpose()?.unwrap_or(0);
        if best.as_ref().is_none_or(|(least, _)| count < *least) {
            best = Some((count, driver));
        }
        if count <= SMALL {
            break;
        }
    }
    Ok(best.map(|(count, driver)| Chosen { driver, selective: count <= SELECTIVE }))
}

fn drivers(writer: Writer<'_>, filter: &Filter) -> Vec<Driver> {
    match filter {
        Filter::And(parts) => {
            let of_part = |(index, part): (usize, &Filter)| {
                let covering = move |driver: Driver| Driver { covers: Some(index).filter(|_| driver.exact), ..driver };
                drivers(writer, part).into_iter().map(covering).collect::<Vec<_>>()
            };
            let mut drivers: Vec<Driver> = parts.iter().enumerate().flat_map(of_part).collect();
            // Labels and words are there for assets only, so that the usual second condition holds anyway.
            let alone = parts.len() == 2 && parts.contains(&Filter::Placeholder(false));
            for driver in &mut drivers {
                driver.exact &= alone;
            }
            drivers
        }
        Filter::Or(parts) => {
            let mut set = Condition { sql: String::new(), values: Vec::new() };
            let mut rank = 0;
            for part in parts {
                let Some(best) = drivers(writer, part).into_iter().min_by_key(|driver| driver.rank) else {
                    return Vec::new();
                };
                if !set.sql.is_empty() {
                    set.sql.push_str(" UNION ALL ");
                }
                set.sql.push_str(&best.set.sql);
                set.values.extend(best.set.values);
                rank = best.rank.max(rank);
            }
            vec![Driver { set, rank: rank + 1, exact: false, covers: None, own: false }]
        }
        Filter::Words { field, text, prefix } => by_words(writer, field.as_deref(), text, *prefix),
        Filter::Label { kind, name, value, number } => {
            let mut set = begun(writer, "SELECT labels.asset AS asset FROM labels WHERE labels.cloud = ?");
            set.sql.push_str(" AND labels.kind = ?");
            set.values.push(text(label_kind(*kind)));
            writer.write_label(name, value, *number, &mut set);
            let rank = match (name, value, number) {
                (TextTest::Is(_), TextTest::Any, None) | (TextTest::Is(_), TextTest::Is(_), _) => 1,
                (TextTest::Is(_), ..) => 3,
                _ => 5,
            };
            vec![Driver { set, rank, exact: true, covers: None, own: false }]
        }
        Filter::Text { column, test } => by_text(writer, *column, test),
        Filter::Number { column, low, high } => {
            use NumberColumn::*;
            if !matches!(column, Bytes | Width | Height | CreatedAt | UploadedAt | UpdatedAt) {
                return Vec::new();
            }
            let mut set = begun(writer, ASSETS);
            set.sql.push_str(" AND ");
            write_span(number_column(*column), *low, *high, &mut set);
            vec![Driver { set, rank: if low == high { 2 } else { 4 }, exact: false, covers: None, own: true }]
        }
        _ => Vec::new(),
    }
}

const ASSETS: &str = "SELECT assets.id AS asset FROM assets WHERE assets.cloud = ?";

fn begun(writer: Writer<'_>, sql: &str) -> Condition {
    Condition { sql: sql.to_owned(), values: vec![text(writer.cloud.as_str())] }
}

fn by_words(writer: Writer<'_>, field: Option<&str>, given: &str, prefix: bool) -> Vec<Driver> {
    let words: Vec<String> = words_of(given).collect();
    let exact = words.len() == 1;
    let driver = |(index, word): (usize, &String)| {
        let open = prefix && index + 1 == words.len() && ends_in_word(given);
        let mut set = begun(writer, "SELECT words.asset AS asset FROM words WHERE words.cloud = ? AND ");
        write_word(word, open, field, &mut set);
        Driver { set, rank: if open { 3 } else { 1 }, exact, covers: None, own: false }
    };
    words.iter().enumerate().map(driver).collect()
}

fn by_text(writer: Writer<'_>, column: TextColumn, test: &TextTest) -> Vec<Driver> {
    let mut set = begun(writer, ASSETS);
    set.sql.push_str(" AND ");
    let rank = match test {
        TextTest::Is(_) => 1,
        _ => 3,
    };
    match (column, test) {
        (_, TextTest::Any | TextTest::Contains(_)) => return Vec::new(),
        (TextColumn::Filename | TextColumn::DisplayName, TextTest::Is(value)) => {
            return by_words(writer, column.word_field(), value, false)
                .into_iter()
                .map(|driver| Driver { exact: false, ..driver })
                .collect();
        }
        // The folder is a beginning of the public id.
        (TextColumn::Folder, TextTest::Is(path) | TextTest::Tree(path)) if !path.is_empty() => {
            write_beginning("assets.public_id", &format!("{path}/"), &mut set);
        }
        (TextColumn::Folder, TextTest::Begins(start)) => write_beginning("assets.public_id", start, &mut set),
        (
            TextColumn::AssetId
            | TextColumn::PublicId
            | TextColumn::AssetFolder
            | TextColumn::Format
            | TextColumn::ResourceType
            | TextColumn::Etag,
            test,
        ) => writer.write_test(text_column(column), test, &mut set),
        _ => return Vec::new(),
    }
    vec![Driver { set, rank, exact: false, covers: None, own: true }]
}
