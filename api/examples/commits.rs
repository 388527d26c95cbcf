//! How many writes of a catalog on PostgreSQL are committed in a second, by connections that work at the same time.
//!
//!     cargo run --release -p tintype-api --example commits -- URL [connections] [clouds] [seconds]
//!
//! The server should care for durability (`fsync = on`): what is measured is mostly how commits share the disk.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tintype_api::{
    catalog::{Catalog, postgres::PostgresCatalog},
    domain::{
        AccessMode, ApiKey, AssetDetails, AssetKey, BlobKey, Cloud, CloudName, DeliveryType, NewAsset, Orientation,
        PixelSize, PublicId, ResourceType, Timestamp,
    },
};

const KEY: [u8; 32] = [7; 32];

fn asset(cloud: &Cloud, public_id: String) -> NewAsset {
    NewAsset {
        key: AssetKey {
            cloud: cloud.id.clone(),
            resource_type: ResourceType::Image,
            delivery_type: DeliveryType::Upload,
            public_id: PublicId::new(&public_id).unwrap(),
        },
        format: "jpg".to_owned(),
        stored_size: PixelSize { width: 640, height: 427 },
        orientation: Orientation::UPRIGHT,
        has_alpha: false,
        bytes: 26_000,
        etag: "0123456789abcdef0123456789abcdef".to_owned(),
        blob: BlobKey::random(),
        uploaded_at: Timestamp::now(),
        original_filename: "photo".to_owned(),
        tags: Vec::new(),
        context: Default::default(),
        faces: None,
        face_coordinates: Vec::new(),
        custom_coordinates: Vec::new(),
        api_key: String::new(),
        access_mode: AccessMode::Public,
        asset_folder: String::new(),
        display_name: "photo".to_owned(),
        metadata: Default::default(),
        details: AssetDetails::default(),
        backup: false,
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().expect("the URL of a PostgreSQL database");
    let mut number = |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (n_connections, n_clouds, seconds) = (number(16), number(1), number(10));
    let catalog = Arc::new(PostgresCatalog::open(&url, KEY).await.unwrap());
    let mut clouds = Vec::new();
    for _ in 0..n_clouds {
        let cloud = Cloud::new(CloudName::new(format!("commits-{}", &BlobKey::random().as_str()[..12])).unwrap());
        catalog.create_cloud(&cloud, &ApiKey::random(cloud.id.clone())).await.unwrap();
        clouds.push(cloud);
    }
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let workers = (0..n_connections).map(|n| {
        let (catalog, cloud) = (catalog.clone(), clouds[(n % n_clouds) as usize].clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let new = asset(&cloud, format!("folder/{n}-{}", times.len()));
                let begun = Instant::now();
                catalog.put_asset(&new, true).await.unwrap();
                times.push(begun.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        times.extend(worker.await.unwrap());
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!(
        "{n_connections} connections, {n_clouds} clouds: {rate:.0} uploads recorded a second, p50 {:.2} ms, p99 {:.2} ms",
        at(50),
        at(99)
    );
}
