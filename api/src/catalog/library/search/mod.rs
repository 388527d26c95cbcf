//! Searches: one filter, two dialects. Matches are sorted by any columns and then by id; a page goes on behind the values
//! of its last row, so that no page costs more than the first one.

mod condition;
mod driver;

use futures::FutureExt;

use self::{
    condition::{Writer, number_column, sort_column, text_column, write_span},
    driver::Chosen,
};
use super::{
    super::{
        CatalogError, Result,
        record::{self, ASSET_COLUMNS, Columns, Value},
        sql::{Dialect, Record, Sql, text},
    },
    Library,
    filter::Condition,
};
use crate::{
    domain::{Asset, AssetId, CloudId, ResourceType},
    search::{Filter, NumberColumn, SortColumn, TextColumn},
};

/// Most values of one aggregation.
const MAX_VALUES: i64 = 1000;

/// What is searched for in a cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuery {
    pub cloud: CloudId,
    pub filter: Filter,
    /// At least one; what is equal by all of them is sorted by id, in the direction of the last one.
    pub sort: Vec<SortKey>,
    pub limit: u32,
    pub after: Option<SearchCursor>,
    pub aggregates: Vec<Aggregate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    pub column: SortColumn,
    pub descending: bool,
}

/// The last match of a page: its values of the columns that are sorted by, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchCursor {
    pub values: Vec<SortValue>,
    pub id: AssetId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    Text(String),
    Number(i64),
}

impl SortKey {
    /// Whether a value can be one of this column.
    pub fn fits(&self, value: &SortValue) -> bool {
        matches!(self.column, SortColumn::Text(_)) == matches!(value, SortValue::Text(_))
    }
}

/// What is counted over all matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// Matches by the values of a column.
    Values(TextColumn),
    /// Matches with values from `from` up to, without, `to`; of one resource type only, where it is named.
    Ranges { column: NumberColumn, resource_type: Option<ResourceType>, ranges: Vec<(Option<i64>, Option<i64>)> },
}

/// The counts of one [`Aggregate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counts {
    /// The most frequent first.
    Values(Vec<(String, u64)>),
    /// In the order of the ranges.
    Ranges(Vec<u64>),
}

/// One page of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    pub assets: Vec<Asset>,
    /// `None` on the last page.
    pub next: Option<SearchCursor>,
    /// Matches on all pages.
    pub total: u64,
    /// In the order of the aggregates.
    pub counts: Vec<Counts>,
}

impl Library {
    /// One page of the assets that meet a filter.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchPage> {
        let query = query.clone();
        self.read("search assets", move |sql| async move { search(sql, &query).await }.boxed()).await
    }

    /// How the database finds a page, in its own words: for measurements.
    pub async fn explain_search(&self, query: &SearchQuery) -> Result<String> {
        let query = query.clone();
        self.read("explain a search", move |sql| {
            async move {
                let plan = Plan::make(sql, &query).await?;
                let page = plan.page(&query)?;
                let word = match sql.dialect() {
                    Dialect::Sqlite => "EXPLAIN QUERY PLAN",
                    Dialect::Postgres => "EXPLAIN (ANALYZE, BUFFERS)",
                };
                let rows = sql.query_once(&format!("{word} {}", page.sql), &page.values).await?;
                let lines = rows.iter().map(|row| {
                    row.0.iter().rev().find_map(|value| match value {
                        Value::Text(line) => Some(line.clone()),
                        _ => None,
                    })
                });
                Ok(format!("{}\n{}", page.sql, lines.flatten().collect::<Vec<_>>().join("\n")))
            }
            .boxed()
        })
        .await
    }
}

async fn search(sql: &mut dyn Sql, query: &SearchQuery) -> Result<SearchPage> {
    let plan = Plan::make(sql, query).await?;
    let (mut assets, mut total, mut next) = (Vec::new(), None, None);
    if query.filter != Filter::None {
        let page = plan.page(query)?;
        let rows = sql.query_once(&page.sql, &page.values).await?;
        let limit = query.limit as usize;
        assets = rows.iter().take(limit).map(record::read_asset).collect::<Result<Vec<_>>>()?;
        if let (Some(row), true) = (rows.get(limit.wrapping_sub(1)), rows.len() > limit) {
            next = Some(cursor(row, query)?);
        }
        if let (Some(row), true) = (rows.first(), plan.is_selective()) {
            total = Some(row.number(n_columns() + query.sort.len())?);
        }
    }
    let total = match total {
        Some(total) => total,
        None => plan.count(sql, query).await?,
    };
    let mut counts = Vec::with_capacity(query.aggregates.len());
    for aggregate in &query.aggregates {
        counts.push(plan.aggregate(sql, query, aggregate).await?);
    }
    Ok(SearchPage { assets, next, total: total.unsigned_abs(), counts })
}

fn n_columns() -> usize {
    ASSET_COLUMNS.split(',').count()
}

fn cursor(row: &Record, query: &SearchQuery) -> Result<SearchCursor> {
    let value = |(index, key): (usize, &SortKey)| match key.column {
        SortColumn::Text(_) => Ok(SortValue::Text(row.text(n_columns() + index)?)),
        SortColumn::Number(_) | SortColumn::Status => Ok(SortValue::Number(row.number(n_columns() + index)?)),
    };
    let values = query.sort.iter().enumerate().map(value).collect::<Result<_>>()?;
    Ok(SearchCursor { values, id: record::parsed("asset id", &row.text(0)?)? })
}

/// How one search is answered.
struct Plan<'q> {
    writer: Writer<'q>,
    chosen: Option<Chosen>,
}

impl<'q> Plan<'q> {
    async fn make(sql: &mut dyn Sql, query: &'q SearchQuery) -> Result<Self> {
        let writer = Writer { dialect: sql.dialect(), cloud: &query.cloud };
        Ok(Plan { writer, chosen: driver::choose(sql, writer, &query.filter).await? })
    }

    fn is_selective(&self) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| chosen.selective)
    }

    /// `FROM … WHERE …` of all matches, beginning at the chosen set where `driven`. The order of a cross join is the
    /// order in which SQLite goes.
    fn matches(&self, query: &SearchQuery, driven: bool) -> Condition {
        let mut out = Condition { sql: String::new(), values: Vec::new() };
        let chosen = self.chosen.as_ref().filter(|chosen| driven && (chosen.selective || !chosen.driver.own));
        match chosen {
            Some(chosen) => {
                let set = &chosen.driver.set;
                out.sql = format!(
                    "FROM (SELECT DISTINCT asset FROM ({}) AS found) AS driver CROSS JOIN assets
                     WHERE assets.id = driver.asset AND {} = ? AND ",
                    set.sql,
                    self.writer.loose("assets.cloud")
                );
                out.values.extend(set.values.iter().cloned());
            }
            None => out.sql.push_str("FROM assets WHERE assets.cloud = ? AND "),
        }
        out.values.push(text(query.cloud.as_str()));
        // What the set says by itself is not asked of each row again.
        match (chosen.map(|chosen| (chosen.driver.exact, chosen.driver.covers)), &query.filter) {
            (Some((_, Some(covered))), Filter::And(parts)) => {
                let others = parts.iter().enumerate().filter(|(index, _)| *index != covered);
                self.writer.write(&Filter::all_of(others.map(|(_, part)| part.clone()).collect()), &mut out);
            }
            (Some((true, _)), _) => self.writer.write(&Filter::All, &mut out),
            _ => self.writer.write(&query.filter, &mut out),
        }
        out
    }

    /// The rows of a page and one more: the columns of assets, then those that are sorted by. Where all matches are gone
    /// through anyway, then their number.
    fn page(&self, query: &SearchQuery) -> Result<Condition> {
        let selective = self.is_selective();
        let keys = || query.sort.iter().enumerate();
        let shown = keys().map(|(index, key)| format!(", {} AS k{index}", sort_column(key.column)));
        let shown: String = shown.collect();
        let mut out = self.matches(query, selective);
        let names: Vec<String> = match selective {
            true => keys().map(|(index, _)| format!("k{index}")).collect(),
            false => keys().map(|(_, key)| sort_column(key.column).to_owned()).collect(),
        };
        let id = if selective { "hit" } else { "assets.id" };
        let columns: String = keys().map(|(index, _)| format!(", k{index}")).collect();
        out.sql = match selective {
            true => format!(
                "WITH hits AS MATERIALIZED (SELECT assets.id AS hit{shown} {}),
                 page AS MATERIALIZED (SELECT hit{columns} FROM hits WHERE 1 = 1",
                out.sql
            ),
            false => format!("WITH page AS MATERIALIZED (SELECT assets.id AS hit{shown} {}", out.sql),
        };
        if let Some(after) = &query.after {
            out.sql.push_str(" AND ");
            write_behind(&names, id, query, after, &mut out)?;
        }
        out.sql.push_str(&format!(" ORDER BY {} LIMIT ?)", order(&names, id, query)));
        out.values.push(Value::Number(i64::from(query.limit) + 1));
        let total = if selective { ", (SELECT count(*) FROM hits) AS total" } else { "" };
        let names: Vec<String> = keys().map(|(index, _)| format!("k{index}")).collect();
        out.sql.push_str(&format!(
            " SELECT {ASSET_COLUMNS}{columns}{total} FROM page CROSS JOIN assets WHERE assets.id = hit ORDER BY {}",
            order(&names, "hit", query)
        ));
        Ok(out)
    }

    async fn count(&self, sql: &mut dyn Sql, query: &SearchQuery) -> Result<i64> {
        let counted = match &self.chosen {
            _ if query.filter == Filter::None => return Ok(0),
            Some(chosen) if chosen.driver.exact => {
                let set = &chosen.driver.set;
                let sql = format!("SELECT count(DISTINCT asset) FROM ({}) AS found", set.sql);
                Condition { sql, values: set.values.clone() }
            }
            _ => {
                let mut matches = self.matches(query, true);
                matches.sql.insert_str(0, "SELECT count(*) ");
                matches
            }
        };
        let rows = sql.query_once(&counted.sql, &counted.values).await?;
        Ok(rows.first().map(|row| row.number(0)).transpose()?.unwrap_or(0))
    }

    async fn aggregate(&self, sql: &mut dyn Sql, query: &SearchQuery, aggregate: &Aggregate) -> Result<Counts> {
        let matches = self.matches(query, true);
        match aggregate {
            Aggregate::Values(column) => {
                let column = text_column(*column);
                let statement = format!(
                    "SELECT {column} AS value, count(*) AS n {} GROUP BY {column} ORDER BY n DESC, value LIMIT ?",
                    matches.sql
                );
                let mut values = matches.values;
                values.push(Value::Number(MAX_VALUES));
                let rows = sql.query_once(&statement, &values).await?;
                let read = |row: &Record| Ok((row.text(0)?, row.number(1)?.unsigned_abs()));
                Ok(Counts::Values(rows.iter().map(read).collect::<Result<_>>()?))
            }
            Aggregate::Ranges { column, resource_type, ranges } => {
                if ranges.is_empty() {
                    return Ok(Counts::Ranges(Vec::new()));
                }
                let mut statement = Condition { sql: "SELECT ".to_owned(), values: Vec::new() };
                for (index, (from, to)) in ranges.iter().enumerate() {
                    statement.sql.push_str(if index > 0 { ", count(CASE WHEN " } else { "count(CASE WHEN " });
                    let high = to.map_or(i64::MAX, |to| to.saturating_sub(1));
                    // Below zero there is no value.
                    write_span(number_column(*column), from.unwrap_or(0).max(0), high, &mut statement);
                    if let Some(kind) = resource_type {
                        statement.sql.push_str(" AND assets.resource_type = ?");
                        statement.values.push(text(kind.as_str()));
                    }
                    statement.sql.push_str(" THEN 1 END)");
                }
                statement.sql.push_str(&format!(" {}", matches.sql));
                statement.values.extend(matches.values);
                let rows = sql.query_once(&statement.sql, &statement.values).await?;
                let row = rows.first().ok_or_else(|| CatalogError::Corrupt("a count is missing".to_owned()))?;
                let counts = (0..ranges.len()).map(|index| Ok(row.number(index)?.unsigned_abs()));
                Ok(Counts::Ranges(counts.collect::<Result<_>>()?))
            }
        }
    }
}

fn is_descending(query: &SearchQuery) -> bool {
    query.sort.last().is_some_and(|key| key.descending)
}

fn order(names: &[String], id: &str, query: &SearchQuery) -> String {
    let direction = |descending: bool| if descending { "DESC" } else { "ASC" };
    let mut parts: Vec<String> =
        names.iter().zip(&query.sort).map(|(name, key)| format!("{name} {}", direction(key.descending))).collect();
    parts.push(format!("{id} {}", direction(is_descending(query))));
    parts.join(", ")
}

/// The condition that a row comes behind the last one of the page before.
fn write_behind(
    names: &[String],
    id: &str,
    query: &SearchQuery,
    after: &SearchCursor,
    out: &mut Condition,
) -> Result<()> {
    let misfit = CatalogError::Invalid { what: "a cursor", reason: "it belongs to another search" };
    if after.values.len() != names.len() || !query.sort.iter().zip(&after.values).all(|(key, value)| key.fits(value)) {
        return Err(misfit);
    }
    let sign = |descending: bool| if descending { "<" } else { ">" };
    let value = |value: &SortValue| -> Result<Value> {
        Ok(match value {
            SortValue::Text(value) => Value::Text(record::text("a cursor", value)?),
            SortValue::Number(number) => Value::Number(*number),
        })
    };
    let (Some((last, before)), Some((last_value, values))) = (names.split_last(), after.values.split_last()) else {
        return Err(misfit);
    };
    for ((name, key), known) in before.iter().zip(&query.sort).zip(values) {
        out.sql.push_str(&format!("({name} {} ? OR ({name} = ? AND ", sign(key.descending)));
        out.values.extend([value(known)?, value(known)?]);
    }
    out.sql.push_str(&format!("({last}, {id}) {} (?, ?)", sign(is_descending(query))));
    out.values.extend([value(last_value)?, text(after.id.as_str())]);
    out.sql.push_str(&"))".repeat(before.len()));
    Ok(())
}
