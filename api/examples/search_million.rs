//! How long searches take over many assets.
//!
//!     cargo run --release -p tintype-api --example search_million -- 1000000 /tmp/assets.sqlite
//!     cargo run --release -p tintype-api --example search_million -- 1000000 "$(deploy/test-postgres.sh start /tmp/pg)"
//!
//! The database must be new; one that an earlier run filled with as many assets is used again.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{sync::Arc, time::Instant};

use tintype_api::{
    catalog::{
        Catalog,
        library::{Library, SearchQuery, SortKey},
        postgres::PostgresCatalog,
        sqlite::SqliteCatalog,
    },
    domain::{ApiKey, Cloud, CloudId, CloudName, Timestamp},
    search::{Filter, NumberColumn, Scope, SortColumn, TextColumn, parse},
};

const KEY: [u8; 32] = [7; 32];
/// When the first asset was created; each further one a minute later.
const FIRST_S: i64 = 1_600_000_000;

/// What is searched for, and whether it is selective. In the expressions `MIDDLE` is the number of the middle asset, `DAY` its
/// day.
const CASES: &[(&str, bool)] = &[
    ("tags=rare77", true),
    ("tags:rare77 AND resource_type:image", true),
    ("tags=dense3 AND tags=rare77", true),
    ("tags=dense3 AND context.alt:word42", true),
    ("photo AND MIDDLE", true),
    ("public_id=dir7/photo_1007", true),
    ("public_id:dir7/*", true),
    ("asset_folder=dir7 AND bytes>5mb", true),
    ("folder:\"dir7/*\" AND status:(active OR pending)", true),
    ("bytes<1kb", true),
    ("width>=5090 AND format:png", true),
    ("created_at:DAY", true),
    ("created_at:DAY AND NOT tags=dense3", true),
    ("metadata.rank:[3 TO 5] AND tags=dense3", true),
    ("word42 lake", true),
    ("(tags=rare77 OR tags=rare78 OR public_id:dir9/*) AND -format:gif", true),
    ("filename=photo_1007", true),
    ("etag=nothing", true),
    ("rare77*", true),
    ("tags=dense3", false),
    ("resource_type:image AND tags=dense3", false),
    ("lake", false),
    ("", false),
    ("resource_type:image", false),
    ("bytes>1mb AND width>1000", false),
];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(count), Some(place)) = (arguments.next().and_then(|text| text.parse::<i64>().ok()), arguments.next())
    else {
        println!("usage: search_million COUNT SQLITE_FILE|POSTGRES_URL");
        return;
    };
    let postgres = place.contains("://");
    let (catalog, library): (Arc<dyn Catalog>, Library) = if postgres {
        let catalog = Arc::new(PostgresCatalog::open(&place, KEY).await.unwrap());
        (catalog.clone(), Library::from(catalog))
    } else {
        let catalog = Arc::new(SqliteCatalog::open(place.as_ref(), KEY).await.unwrap());
        (catalog.clone(), Library::from(catalog))
    };
    let name = CloudName::new("million").unwrap();
    let known = catalog.cloud_by_name(&name).await.unwrap();
    let cloud = known.clone().unwrap_or_else(|| Cloud::new(name));
    if known.is_none() {
        catalog.create_cloud(&cloud, &ApiKey::random(cloud.id.clone())).await.unwrap();
        let started = Instant::now();
        let statements = statements(&cloud.id, count, postgres);
        if postgres {
            let (client, connection) = tokio_postgres::connect(&place, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            for statement in statements {
                client.batch_execute(&statement).await.unwrap();
            }
        } else {
            let connection = rusqlite::Connection::open(&place).unwrap();
            connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000").unwrap();
            for statement in statements {
                connection.execute_batch(&statement).unwrap();
            }
        }
        println!("{count} assets were written in {:.0} s", started.elapsed().as_secs_f64());
    }
    measure(&library, &cloud.id, count).await;
}

/// Statements that write assets as uploads would, with their labels and words.
fn statements(cloud: &CloudId, count: i64, postgres: bool) -> Vec<String> {
    let (series, hex, text) = match postgres {
        true => ("SELECT i FROM generate_series(1::bigint, COUNT) AS s(i)", "lpad(to_hex(@), #, '0')", "(@)::text"),
        false => (
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < COUNT) SELECT i FROM s",
            "printf('%0#x', @)",
            "CAST(@ AS TEXT)",
        ),
    };
    let series = series.replace("COUNT", &count.to_string());
    let hex = |value: &str, width: usize| hex.replace('@', value).replace('#', &width.to_string());
    let text = |value: &str| text.replace('@', value);
    // Spread over all ids, as random ones are.
    let id = format!("{} || {}", hex("((i * 2654435761) % 4294967296)", 8), hex("i", 24));
    let number = |value: &str| text(&format!("({value})"));
    let (dir, i) = (format!("'dir' || {}", number("i % 1000")), number("i"));
    let (dense, rare) =
        (format!("'dense' || {}", number("i % 10")), format!("'rare' || {}", number("i % (COUNT / 50)")));
    let rare = rare.replace("COUNT", &count.to_string());
    let word = format!("'word' || {}", number("i % 5000"));
    let rank = number("i % 1000");
    let no = if postgres { "FALSE" } else { "0" };
    let micros = format!("({FIRST_S} + i * 60) * 1000000");
    let assets = format!(
        "INSERT INTO assets (id, cloud, resource_type, delivery_type, public_id, version, version_id, format,
             stored_width, stored_height, orientation, has_alpha, bytes, etag, blob, created_at, uploaded_at,
             original_filename, tags, context, faces, face_coordinates, custom_coordinates, api_key, access_mode,
             asset_folder, display_name, metadata, details, updated_at, placeholder, backed_up)
         SELECT {id}, '{cloud}', CASE WHEN i % 20 = 0 THEN 'raw' ELSE 'image' END, 'upload', {dir} || '/photo_' || {i},
             {FIRST_S} + i, {id}, CASE WHEN i % 20 < 16 THEN 'jpg' WHEN i % 20 < 19 THEN 'png' ELSE 'gif' END,
             100 + (i * 31) % 5000, 100 + (i * 17) % 4000, 1, {no}, (i * 7919) % 10000000, {id}, {id}, {micros},
             {micros}, 'photo_' || {i}, '[\"' || {dense} || '\",\"' || {rare} || '\"]',
             '{{\"alt\":\"' || {word} || ' lake\"}}', NULL, '[]', '[]', '123456789012345', 'public', {dir}, '',
             '{{\"rank\":' || {rank} || '}}', '{{}}', {micros}, {no}, {no}
         FROM ({series}) AS n"
    );
    let labels = format!(
        "INSERT INTO labels (asset, cloud, resource_type, kind, name, value, number)
         SELECT asset, '{cloud}', 'image', kind, name, value, number FROM (
             SELECT {id} AS asset, 'tag' AS kind, {dense} AS name, '' AS value, CAST(NULL AS BIGINT) AS number
             FROM ({series}) AS n
             UNION ALL SELECT {id}, 'tag', {rare}, '', NULL FROM ({series}) AS n
             UNION ALL SELECT {id}, 'context', 'alt', {word} || ' lake', NULL FROM ({series}) AS n
             UNION ALL SELECT {id}, 'metadata', 'rank', {rank}, i % 1000 FROM ({series}) AS n
         ) AS l ORDER BY asset, kind, name, value"
    );
    let fields = [
        ("public_id", dir.clone()),
        ("public_id", "'photo'".to_owned()),
        ("public_id", i.clone()),
        ("filename", "'photo'".to_owned()),
        ("filename", i.clone()),
        ("folder", dir.clone()),
        ("display_name", "'photo'".to_owned()),
        ("display_name", i),
        ("asset_folder", dir),
        ("tags", dense),
        ("tags", rare),
        ("context.alt", word),
        ("context.alt", "'lake'".to_owned()),
    ];
    let parts = fields
        .map(|(field, word)| format!("SELECT {word} AS word, '{field}' AS field, {id} AS asset FROM ({series}) AS n"));
    let words = format!(
        "INSERT INTO words (cloud, word, field, asset)
         SELECT '{cloud}', word, field, asset FROM ({}) AS w ORDER BY word, field, asset",
        parts.join(" UNION ALL ")
    );
    let index = "CREATE INDEX words_by_asset ON words (asset)";
    let mut all = vec!["DROP INDEX words_by_asset".to_owned()];
    if postgres {
        // As for any load: references are checked by nobody meanwhile.
        all.push(
            "SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; SET work_mem = '512MB'".into(),
        );
    } else {
        all.push("PRAGMA foreign_keys = OFF".into());
    }
    all.extend([assets, labels, words, index.to_owned()]);
    if postgres {
        // What the server does by itself after a while.
        all.push("VACUUM ANALYZE assets".into());
        all.push("VACUUM ANALYZE labels".into());
        all.push("VACUUM ANALYZE words".into());
    }
    all
}

async fn measure(library: &Library, cloud: &CloudId, count: i64) {
    let middle_s = FIRST_S + count / 2 * 60;
    let day = time::OffsetDateTime::from_unix_timestamp(middle_s).unwrap().date();
    let day = format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day());
    let now = Timestamp::from_unix_seconds(FIRST_S + count * 60);
    let scope = Scope { now, fixed_folders: true };
    let newest = SortKey { column: SortColumn::Number(NumberColumn::CreatedAt), descending: true };
    let by_name = SortKey { column: SortColumn::Text(TextColumn::PublicId), descending: false };
    let mut worst: Option<(f64, String, SearchQuery)> = None;
    println!("matches   first ms  median ms  2nd page  expression");
    for (expression, selective) in CASES {
        let expression = expression.replace("MIDDLE", &(count / 2).to_string()).replace("DAY", &day);
        for sort in [newest, by_name] {
            let filter = Filter::new(&parse(&expression).unwrap(), scope).unwrap();
            let query = SearchQuery {
                cloud: cloud.clone(),
                filter,
                sort: vec![sort],
                limit: 50,
                after: None,
                aggregates: Vec::new(),
            };
            let mut times = Vec::new();
            let mut page = None;
            for _ in 0..if *selective { 7 } else { 3 } {
                let started = Instant::now();
                page = Some(library.search(&query).await.unwrap());
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            let page = page.unwrap();
            let second = SearchQuery { after: page.next.clone(), ..query.clone() };
            let started = Instant::now();
            let next = library.search(&second).await.unwrap();
            let next_ms = started.elapsed().as_secs_f64() * 1e3;
            assert_eq!(next.total, page.total);
            let first = times[0];
            times.sort_by(f64::total_cmp);
            let median = times[times.len() / 2];
            let order = if sort == newest { "" } else { " by public_id" };
            println!("{:>8} {first:>9.1} {median:>9.1} {next_ms:>9.1}  {expression}{order}", page.total);
            if *selective && worst.as_ref().is_none_or(|(ms, ..)| median > *ms) {
                worst = Some((median, expression.clone(), query));
            }
        }
    }
    if let Some((ms, expression, query)) = worst {
        println!("\nThe slowest selective one, {ms:.1} ms: {expression}");
        println!("{}", library.explain_search(&query).await.unwrap());
    }
}
