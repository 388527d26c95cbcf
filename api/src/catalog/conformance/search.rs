//! Searches: one library of assets, many expressions, and the same answers from every database.

use serde_json::json;

use super::{super::library::*, key, new_cloud, upload};
use crate::{
    catalog::Catalog,
    domain::{
        Asset, AssetDetails, AssetKey, CloudId, DeliveryType, Moderation, NewAsset, Orientation, PixelSize,
        ResourceType, Timestamp,
    },
    search::{Filter, FolderFilter, NumberColumn, Scope, SortColumn, TextColumn, parse},
};

/// 2025-06-15T15:06:40Z
const NOW_S: i64 = 1_750_000_000;
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "search").await;
    let assets = fill(catalog, library, &cloud).await;
    // What belongs to others is never found.
    let other = new_cloud(catalog, "search-other").await;
    for id in ["trips/lake", "bulk/item_10"] {
        let new = NewAsset { tags: vec!["bulk".into(), "alps".into()], ..plain(&other, id, DAY_S) };
        catalog.put_asset(&new, false).await.unwrap();
    }
    expressions(library, &cloud).await;
    let by_id = format!("asset_id:{} OR asset_id={}", assets[0].id.as_str().to_uppercase(), assets[3].id);
    assert_eq!(found(library, &cloud, &by_id, false).await, ["clips/surf", "trips/lake"]);
    orders(library, &cloud).await;
    aggregates(library, &cloud).await;
    folders(library, &cloud).await;
    let gone: Vec<_> = catalog.garbage(100).await.unwrap();
    catalog.forget_garbage(&gone).await.unwrap();
}

fn plain(cloud: &CloudId, public_id: &str, age_s: i64) -> NewAsset {
    NewAsset {
        uploaded_at: Timestamp::from_unix_seconds(NOW_S - age_s),
        stored_size: PixelSize { width: 10, height: 10 },
        orientation: Orientation::UPRIGHT,
        has_alpha: false,
        bytes: 100,
        tags: Vec::new(),
        context: Default::default(),
        metadata: Default::default(),
        details: AssetDetails::default(),
        faces: None,
        face_coordinates: Vec::new(),
        asset_folder: String::new(),
        display_name: String::new(),
        access_mode: crate::domain::AccessMode::Public,
        ..upload(cloud, public_id)
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

fn moderated(status: &str) -> AssetDetails {
    let moderation = vec![Moderation { kind: "manual".into(), status: status.into(), updated_at: 0 }];
    AssetDetails { moderation, pages: 3, ..AssetDetails::default() }
}

fn size(width: u32, height: u32) -> PixelSize {
    PixelSize { width, height }
}

async fn fill(catalog: &dyn Catalog, library: &Library, cloud: &CloudId) -> Vec<Asset> {
    let region = [1.0, 2.0, 3.0, 4.0];
    let map = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let context = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut news = vec![
        NewAsset {
            stored_size: size(1600, 1067),
            bytes: 248_113,
            tags: texts(["alps", "water"]),
            context: context(&[("stage", "x"), ("alt", "A blue Lake")]),
            metadata: map(json!({ "year": 2025, "season": "summer", "shot": "2025-03-04", "kinds": ["a", "b"] })),
            asset_folder: "trips".into(),
            display_name: "The Lake".into(),
            details: moderated("pending"),
            ..plain(cloud, "trips/lake", HOUR_S)
        },
        NewAsset {
            format: "png".into(),
            stored_size: size(4000, 3000),
            orientation: Orientation::new(6).unwrap(),
            has_alpha: true,
            bytes: 5 << 20,
            tags: texts(["Alps", "snow white"]),
            context: context(&[("alt", "Peak")]),
            metadata: map(json!({ "year": 2024 })),
            faces: Some(vec![region, region]),
            asset_folder: "trips/alps".into(),
            details: AssetDetails { pages: 1, ..moderated("approved") },
            etag: "feedfeedfeedfeedfeedfeedfeedfeed".into(),
            ..plain(cloud, "trips/alps/peak-1_a", 2 * DAY_S)
        },
        NewAsset {
            format: "png".into(),
            stored_size: size(3000, 4000),
            bytes: (5 << 20) + 1,
            faces: Some(Vec::new()),
            face_coordinates: vec![region],
            asset_folder: "trips/alps".into(),
            ..plain(cloud, "trips/alps/peak-1_b", 3 * DAY_S)
        },
        NewAsset {
            key: AssetKey { resource_type: ResourceType::Video, ..key(cloud, "clips/surf") },
            format: "mp4".into(),
            stored_size: size(1920, 1080),
            bytes: 50_000_000,
            tags: texts(["water"]),
            details: AssetDetails { video: map(json!({ "duration": 12.5 })), ..AssetDetails::default() },
            asset_folder: "clips".into(),
            api_key: "777".into(),
            ..plain(cloud, "x", 10 * DAY_S)
        },
        NewAsset {
            key: AssetKey { resource_type: ResourceType::Raw, ..key(cloud, "docs/report.pdf.txt") },
            format: "txt".into(),
            stored_size: size(0, 0),
            bytes: 900,
            tags: texts(["c++"]),
            context: context(&[("note", "50% off_now")]),
            asset_folder: "docs".into(),
            ..plain(cloud, "x", 40 * DAY_S)
        },
        NewAsset {
            key: AssetKey { delivery_type: DeliveryType::Private, ..key(cloud, "secret") },
            ..plain(cloud, "x", 400 * DAY_S)
        },
        NewAsset {
            format: "webp".into(),
            stored_size: size(500, 500),
            bytes: 3000,
            tags: texts(["猫"]),
            asset_folder: "Ärger".into(),
            display_name: "ÄRGER Groß".into(),
            ..plain(cloud, "Ärger/猫 Bild", 20 * DAY_S)
        },
        NewAsset {
            format: "gif".into(),
            stored_size: size(100, 50),
            bytes: 4000,
            tags: texts(["100%", "under_score"]),
            access_mode: crate::domain::AccessMode::Authenticated,
            ..plain(cloud, "100_percent", 5 * DAY_S)
        },
        NewAsset { backup: true, ..plain(cloud, "gone", 7 * DAY_S) },
        NewAsset {
            stored_size: size(1600, 1067),
            bytes: 5000,
            asset_folder: "Trips".into(),
            ..plain(cloud, "Trips/LAKE", 6 * DAY_S)
        },
    ];
    for index in 10..30_i64 {
        news.push(NewAsset {
            format: if index % 2 == 0 { "png" } else { "gif" }.into(),
            stored_size: size(100 * index as u32, 50),
            bytes: 1000 * index as u64,
            tags: texts(["bulk", if index % 2 == 0 { "even" } else { "odd" }]),
            context: [("n".to_owned(), index.to_string())].into(),
            metadata: map(json!({ "rank": index })),
            asset_folder: "bulk".into(),
            ..plain(cloud, &format!("bulk/item_{index}"), (100 + index) * DAY_S)
        });
    }
    let mut assets = Vec::new();
    for new in news {
        assets.push(catalog.put_asset(&new, false).await.unwrap().asset);
    }
    library.remove(&Removal::Key(key(cloud, "gone"))).await.unwrap().unwrap();
    assets
}

fn query(cloud: &CloudId, expression: &str, fixed_folders: bool) -> SearchQuery {
    let scope = Scope { now: Timestamp::from_unix_seconds(NOW_S), fixed_folders };
    let filter =
        Filter::new(&parse(expression).unwrap(), scope).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let sort = vec![SortKey { column: SortColumn::Text(TextColumn::PublicId), descending: false }];
    SearchQuery { cloud: cloud.clone(), filter, sort, limit: 500, after: None, aggregates: Vec::new() }
}

fn ids(assets: &[Asset]) -> Vec<String> {
    assets.iter().map(|asset| asset.key.public_id.to_string()).collect()
}

/// Public ids of all matches, in order.
async fn found(library: &Library, cloud: &CloudId, expression: &str, fixed: bool) -> Vec<String> {
    let page = library.search(&query(cloud, expression, fixed)).await.unwrap();
    assert_eq!((page.total, page.next), (page.assets.len() as u64, None), "{expression}");
    ids(&page.assets)
}

/// Public ids by short names; `10-12` means three of the many.
fn expand(short: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for name in short.split_whitespace() {
        let full = match name {
            "lake" => "trips/lake",
            "peak" => "trips/alps/peak-1_a",
            "peak2" => "trips/alps/peak-1_b",
            "surf" => "clips/surf",
            "report" => "docs/report.pdf.txt",
            "umlaut" => "Ärger/猫 Bild",
            "percent" => "100_percent",
            "upper" => "Trips/LAKE",
            "secret" | "gone" => name,
            numbers => {
                let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
                for index in first.parse::<u32>().unwrap()..=last.parse().unwrap() {
                    ids.push(format!("bulk/item_{index}"));
                }
                continue;
            }
        };
        ids.push(full.to_owned());
    }
    ids.sort();
    ids
}

const ALL: &str = "lake peak peak2 surf report secret umlaut percent upper 10-29";

/// Expressions in a cloud where assets have folders of their own.
const DYNAMIC: &[(&str, &str)] = &[
    ("", ALL),
    ("resource_type:image", "lake peak peak2 secret umlaut percent upper 10-29"),
    ("resource_type:VIDEO", "surf"),
    ("type=private", "secret"),
    ("format:(webp OR txt)", "umlaut report"),
    ("format:we*", "umlaut"),
    ("lake", "lake upper"),
    ("LAKE", "lake upper"),
    ("blue", "lake"),
    ("\"blue lake\"", "lake"),
    ("tags:alps", "lake peak"),
    ("tags=alps", "lake"),
    ("tags=Alps", "peak"),
    ("tags:white", "peak"),
    ("tags=\"snow white\"", "peak"),
    ("tags:sno*", "peak"),
    ("tags=sno*", "peak"),
    ("tags:\"c++\"", "report"),
    ("tags=\"100%\"", "percent"),
    ("tags:under_score", "percent"),
    ("tags:*", "lake peak surf report umlaut percent 10-29"),
    ("NOT tags:*", "peak2 secret upper"),
    ("tags:\"%\"", ""),
    ("tags:\"_\"", ""),
    ("tags:[snow TO t}", "peak"),
    ("tags>=snow AND tags<b", "lake peak percent"),
    ("public_id=trips/lake", "lake"),
    ("public_id:trips/lake", "lake upper"),
    ("public_id:trips/*", "lake peak peak2"),
    ("public_id:peak-1_a", "peak"),
    ("public_id:peak", "peak peak2"),
    ("public_id:pea*", "peak peak2"),
    ("public_id:bulk/item_1*", "10-19"),
    ("public_id>trips", "umlaut lake peak peak2"),
    ("filename:item*", "10-29"),
    ("filename=lake", "lake"),
    ("filename:lake", "lake upper"),
    ("display_name=\"The Lake\"", "lake"),
    ("display_name:lake", "lake upper"),
    ("display_name=secret", "secret"),
    ("display_name:groß", "umlaut"),
    ("folder:trips", ""),
    ("folder=trips OR tags=water", "lake surf"),
    ("asset_folder=trips", "lake"),
    ("asset_folder=/trips/", "lake"),
    ("asset_folder:\"trips/*\"", "lake peak peak2"),
    ("asset_folder:trips", "lake peak peak2 upper"),
    ("asset_folder:\"*\" AND status:(active OR pending)", ALL),
    ("asset_folder:ärger", "umlaut"),
    ("asset_folder=\"\"", "secret percent"),
    ("ÄRGER", "umlaut"),
    ("猫", "umlaut"),
    ("width>=3000", "peak peak2"),
    ("height>3000", "peak peak2"),
    ("width:[1000 TO 1200]", "10-12"),
    ("width:{1000 TO 1200}", "11"),
    ("width:[2800 TO *]", "peak peak2 28-29"),
    ("width<100", "secret"),
    ("bytes>5mb", "peak2 surf"),
    ("bytes>=5mb AND resource_type:image", "peak peak2"),
    ("bytes<1kb", "report secret"),
    ("bytes:900", "report"),
    ("bytes>1tb OR bytes<0", ""),
    ("pixels=12000000", "peak peak2"),
    ("aspect_ratio:1.49953", "lake upper"),
    ("aspect_ratio=\"2:1\"", "percent"),
    ("aspect_ratio<0.8", "peak peak2"),
    ("duration>12 AND duration<12.6", "surf"),
    ("duration:12.5", "surf"),
    ("NOT duration<100", "lake peak peak2 report secret umlaut percent upper 10-29"),
    ("pages>1", "lake"),
    ("face_count=2", "peak"),
    ("face_count>0", "peak peak2"),
    ("transparent:true", "peak"),
    ("created_at>1w", "lake peak peak2 percent upper"),
    ("created_at>1d", "lake"),
    ("uploaded_at:[4d TO 2h]", "peak peak2"),
    ("created_at<1y", "secret"),
    ("created_at:2025-06-15", "lake"),
    ("created_at>=2025-06-13 AND created_at<2025-06-14", "peak"),
    ("created_at:[2025-06-12 TO 2025-06-13]", "peak peak2"),
    ("created_at=\"2025-06-15T14:06:40Z\"", "lake"),
    ("created_at:2024 AND NOT secret", ""),
    ("context.stage:x", "lake"),
    ("context.stage:lake", ""),
    ("context.stage:*", "lake"),
    ("context.alt=\"A blue Lake\"", "lake"),
    ("context.alt:blue", "lake"),
    ("context.alt:bl*", "lake"),
    ("context.note:off_now", "report"),
    ("context:blue", "lake"),
    ("metadata.year=2025", "lake"),
    ("metadata.year:2024", "peak"),
    ("metadata.year>2023", "lake peak"),
    ("metadata.year:[2024 TO 2025}", "peak"),
    ("metadata.rank:>=28", "28-29"),
    ("metadata.rank<11.5", "10-11"),
    ("metadata.season:SUMMER", "lake"),
    ("metadata.kinds=b", "lake"),
    ("metadata.shot>=2025-01-01", "lake"),
    ("moderation_status:pending", "lake"),
    ("moderation_kind:manual", "lake peak"),
    ("moderation_kind:manual AND moderation_status=approved", "peak"),
    ("status:deleted", "gone"),
    ("NOT status:active", "gone"),
    ("gone", ""),
    ("etag:FEEDFEEDFEEDFEEDFEEDFEEDFEEDFEED", "peak"),
    ("access_mode=authenticated", "percent"),
    ("created_by:777", "surf"),
    ("backup_bytes>0 AND status:*", "gone"),
    ("-tags:bulk AND resource_type:image AND -public_id:trips/*", "secret umlaut percent upper"),
    ("tags:bulk AND (width>2700 OR bytes<11kb)", "10-11 28-29"),
    ("(tags=water OR tags=\"snow white\") AND NOT resource_type:video", "lake peak"),
    ("bulk even width<1500", "10 12 14"),
    ("NOT (tags:bulk OR resource_type:image)", "surf report"),
    ("width>2000 AND width<1000", ""),
    ("\"; DROP TABLE assets; --'\"", ""),
    ("public_id:\"' OR 1=1 --\"", ""),
    ("public_id=\"'\"", ""),
];

/// Expressions in a cloud where public ids spell the folders.
const FIXED: &[(&str, &str)] = &[
    ("folder:trips", "lake peak peak2 upper"),
    ("folder:TRIPS/alps", "peak peak2"),
    ("folder=trips", "lake"),
    ("folder=trips/alps", "peak peak2"),
    ("folder:trips/*", "lake peak peak2"),
    ("folder:\"trips/*\" AND tags=alps", "lake"),
    ("folder:tri*", "lake peak peak2"),
    ("folder=\"\"", "secret percent"),
    ("folder:*", ALL),
    ("folder:bul* AND filename=item_12", "12"),
];

async fn expressions(library: &Library, cloud: &CloudId) {
    let mut wrong = Vec::new();
    for (fixed, cases) in [(false, DYNAMIC), (true, FIXED)] {
        for (expression, wanted) in cases {
            let found = found(library, cloud, expression, fixed).await;
            if found != expand(wanted) {
                wrong.push(format!("{expression}: {found:?} instead of {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every order gives the same matches in pages of any size.
async fn orders(library: &Library, cloud: &CloudId) {
    let number = |column, descending| SortKey { column: SortColumn::Number(column), descending };
    let text = |column, descending| SortKey { column: SortColumn::Text(column), descending };
    let orders = [
        vec![number(NumberColumn::CreatedAt, true)],
        vec![number(NumberColumn::Bytes, false)],
        vec![text(TextColumn::Format, false), number(NumberColumn::Bytes, true)],
        vec![number(NumberColumn::AspectRatio, true), text(TextColumn::Filename, false)],
        vec![number(NumberColumn::Height, false), text(TextColumn::Folder, true), number(NumberColumn::Width, false)],
        vec![text(TextColumn::DisplayName, true)],
        vec![SortKey { column: SortColumn::Status, descending: false }, number(NumberColumn::BackupBytes, true)],
        vec![number(NumberColumn::Duration, true), number(NumberColumn::FaceCount, true)],
        vec![number(NumberColumn::UpdatedAt, false)],
    ];
    for sort in orders {
        for expression in ["", "tags:bulk", "status:*", "resource_type:image"] {
            let whole = SearchQuery { sort: sort.clone(), ..query(cloud, expression, false) };
            let all = library.search(&whole).await.unwrap();
            for limit in [1, 7] {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let page = library.search(&SearchQuery { limit, after, ..whole.clone() }).await.unwrap();
                    assert_eq!(page.total, all.total, "{expression} {sort:?}");
                    assert!(page.assets.len() <= limit as usize);
                    seen.extend(page.assets);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(ids(&seen), ids(&all.assets), "{expression} {sort:?}");
            }
        }
    }
    let sorted = |sort: Vec<SortKey>| SearchQuery { sort, ..query(cloud, "-tags:bulk", false) };
    let by_bytes = library.search(&sorted(vec![number(NumberColumn::Bytes, false)])).await.unwrap();
    let wanted = ["secret", "docs/report.pdf.txt", "Ärger/猫 Bild", "100_percent", "Trips/LAKE", "trips/lake"];
    assert_eq!(ids(&by_bytes.assets)[..6], wanted);
    let by_both = sorted(vec![text(TextColumn::Format, true), number(NumberColumn::Bytes, true)]);
    let wanted = ["Ärger/猫 Bild", "docs/report.pdf.txt", "trips/alps/peak-1_b", "trips/alps/peak-1_a", "clips/surf"];
    assert_eq!(ids(&library.search(&by_both).await.unwrap().assets)[..5], wanted);
    let first = library.search(&SearchQuery { limit: 1, ..by_both.clone() }).await.unwrap().next.unwrap();
    assert_eq!(first.values, [SortValue::Text("webp".into()), SortValue::Number(3000)]);
    let foreign = sorted(vec![number(NumberColumn::Bytes, false)]);
    assert!(library.search(&SearchQuery { after: Some(first), ..foreign }).await.is_err());
}

async fn aggregates(library: &Library, cloud: &CloudId) {
    let aggregates = vec![
        Aggregate::Values(TextColumn::Format),
        Aggregate::Values(TextColumn::ResourceType),
        Aggregate::Ranges {
            column: NumberColumn::Bytes,
            resource_type: None,
            ranges: vec![(None, Some(1000)), (Some(1000), Some(5 << 20)), (Some(5 << 20), None)],
        },
        Aggregate::Ranges {
            column: NumberColumn::Pixels,
            resource_type: Some(ResourceType::Video),
            ranges: vec![(Some(0), None)],
        },
        Aggregate::Ranges { column: NumberColumn::Duration, resource_type: None, ranges: vec![(None, None)] },
    ];
    let value = |text: &str, count| (text.to_owned(), count);
    let wanted = vec![
        Counts::Values(vec![
            value("png", 12),
            value("gif", 11),
            value("jpg", 3),
            value("mp4", 1),
            value("txt", 1),
            value("webp", 1),
        ]),
        Counts::Values(vec![value("image", 27), value("raw", 1), value("video", 1)]),
        Counts::Ranges(vec![2, 24, 3]),
        Counts::Ranges(vec![1]),
        Counts::Ranges(vec![1]),
    ];
    let all = SearchQuery { aggregates: aggregates.clone(), limit: 1, ..query(cloud, "", false) };
    let page = library.search(&all).await.unwrap();
    assert_eq!((page.total, page.counts), (29, wanted));
    let some = SearchQuery { aggregates, ..query(cloud, "tags=water", false) };
    let page = library.search(&some).await.unwrap();
    assert_eq!(page.counts[2], Counts::Ranges(vec![0, 1, 1]));
    assert_eq!(page.counts[1], Counts::Values(vec![value("image", 1), value("video", 1)]));
    let none = library.search(&SearchQuery { filter: Filter::None, ..some }).await.unwrap();
    assert_eq!((none.total, &none.counts[2]), (0, &Counts::Ranges(vec![0, 0, 0])));
}

async fn folders(library: &Library, cloud: &CloudId) {
    let search = async |text: &str, order: &FolderOrder, limit, after| {
        let filter = FolderFilter::new(&parse(text).unwrap(), Timestamp::now()).unwrap();
        library.search_folders(cloud, &filter, order, limit, after).await.unwrap()
    };
    let paths = |page: &FolderPage| page.folders.iter().map(|folder| folder.path.clone()).collect::<Vec<_>>();
    let by_path = [(FolderColumn::Path, false)];
    let all = search("", &by_path, 100, None).await;
    assert_eq!(paths(&all), ["Trips", "bulk", "clips", "docs", "trips", "trips/alps", "Ärger"]);
    assert_eq!((all.total, all.more), (7, false));
    assert_eq!(paths(&search("path=trips", &by_path, 9, None).await), ["trips"]);
    assert_eq!(paths(&search("path:trips/*", &by_path, 9, None).await), ["trips", "trips/alps"]);
    assert_eq!(paths(&search("name:alps OR name:ärger", &by_path, 9, None).await), ["trips/alps", "Ärger"]);
    assert_eq!(paths(&search("created_at>1h", &by_path, 9, None).await).len(), 7);
    let order = [(FolderColumn::Name, true)];
    let mut seen: Vec<String> = Vec::new();
    let mut after: Option<Folder> = None;
    loop {
        let page = search("-docs", &order, 4, after.take()).await;
        assert_eq!(page.total, 6);
        seen.extend(paths(&page));
        if !page.more {
            break;
        }
        after = page.folders.last().cloned();
    }
    assert_eq!(seen, ["Ärger", "trips", "clips", "bulk", "trips/alps", "Trips"]);
}
