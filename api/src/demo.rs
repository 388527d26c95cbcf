//! The cloud that a first start creates, so that there is something to look at.

use crate::auth::basic::basic_header;
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{ApiKey, Cloud, CloudName};
use crate::service::upload::{FileSource, UploadKind, UploadRequest, UploadService};
use bytes::Bytes;

/// Name of the first cloud.
pub const CLOUD: &str = "demo";

/// The transformation that the product's brief shows.
pub const HEADLINE: &str = "w_400,h_350,g_face,c_crop/r_20,bo_5px_solid_black/\
     l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,y_10,x_10/q_auto,f_auto";

/// The pictures that come with the program: public id, file name, bytes. Rights: `api/assets/samples/NOTICE.md`.
pub const SAMPLES: &[(&str, &str, &[u8])] = &[
    ("astronaut", "astronaut.png", include_bytes!("../assets/samples/astronaut.png")),
    ("chelsea", "chelsea.png", include_bytes!("../assets/samples/chelsea.png")),
    ("coffee", "coffee.png", include_bytes!("../assets/samples/coffee.png")),
    ("rocket", "rocket.jpg", include_bytes!("../assets/samples/rocket.jpg")),
    ("cloudinary_icon", "cloudinary_icon.png", include_bytes!("../assets/samples/cloudinary_icon.png")),
];

/// A cloud and one of its key pairs.
#[derive(Debug, Clone)]
pub struct Demo {
    pub cloud: Cloud,
    pub key: ApiKey,
    /// Whether it was created just now.
    pub created: bool,
}

/// Finds the demo cloud; creates it when there is no cloud at all. `None` when there are clouds but no demo any more.
pub async fn find_or_create(catalog: &dyn Catalog) -> Result<Option<Demo>, CatalogError> {
    let name = CloudName::new(CLOUD)
        .map_err(|error| CatalogError::Internal { operation: "name the demo cloud", detail: error.to_string() })?;
    if catalog.clouds().await?.is_empty() {
        let cloud = Cloud::new(name.clone());
        let key = ApiKey::random(cloud.id.clone());
        match catalog.create_cloud(&cloud, &key).await {
            Ok(()) => return Ok(Some(Demo { cloud, key, created: true })),
            // Another node was faster.
            Err(CatalogError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(cloud) = catalog.cloud_by_name(&name).await? else { return Ok(None) };
    let key = catalog.api_keys(&cloud.id).await?.into_iter().find(|key| key.enabled);
    Ok(key.map(|key| Demo { cloud, key, created: false }))
}

/// Uploads the sample pictures the way a client would.
pub async fn load_samples(demo: &Demo, uploads: &UploadService) -> Result<(), String> {
    for (public_id, filename, bytes) in SAMPLES {
        let failed = |error: &dyn std::fmt::Display| format!("the sample {filename} could not be loaded: {error}");
        let mut spool = uploads.spool(&demo.cloud.id).await.map_err(|error| failed(&error))?;
        spool.write(Bytes::from_static(bytes)).await.map_err(|error| failed(&error))?;
        let request = UploadRequest {
            cloud: demo.cloud.name.as_str().to_owned(),
            kind: UploadKind::Image,
            authorization: Some(basic_header(&demo.key.key, demo.key.secret.expose())),
            params: vec![("public_id".to_owned(), (*public_id).to_owned()), ("tags".to_owned(), "sample".to_owned())],
            part: None,
            file: Some(FileSource::Received { spool, filename: (*filename).to_owned() }),
        };
        uploads.upload(request).await.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// What an SDK needs to use a cloud, as the value of `CLOUDINARY_URL`. Addresses of pictures are made from `cname` over
/// http, and from `secure_distribution` over https.
pub fn sdk_url(cloud: &Cloud, key: &ApiKey, base_url: &str) -> String {
    let (scheme, host) = base_url.split_once("://").unwrap_or(("http", base_url));
    let pictures = match scheme {
        "https" => format!("secure=true&secure_distribution={host}"),
        _ => format!("cname={host}"),
    };
    let (key, secret) = (&key.key, key.secret.expose());
    format!("cloudinary://{key}:{secret}@{}?upload_prefix={base_url}&{pictures}", cloud.name)
}

/// What a person sees at the start: how to reach the cloud with an SDK, and pictures to click on.
pub fn greeting(demo: &Demo, base_url: &str) -> String {
    let cloud = demo.cloud.name.as_str();
    let url = |transformation: &str, file: &str| format!("  {base_url}/{cloud}/image/upload/{transformation}{file}\n");
    let mut text = format!("CLOUDINARY_URL={}\n", sdk_url(&demo.cloud, &demo.key, base_url));
    text += "What each SDK wants of it: tintype sdk\n\nPictures:\n";
    text += &url(&format!("{HEADLINE}/"), "astronaut.jpg");
    text += &url("c_fill,w_300,h_300/r_max/", "chelsea.png");
    text += &url("c_thumb,g_face,w_200,h_200/r_30,bo_4px_solid_rgb:b8864b/", "astronaut.png");
    text += &url("c_pad,b_rgb:f4ecdc,w_500,h_400/", "coffee.webp");
    text += &url("", "rocket.jpg");
    text
}
