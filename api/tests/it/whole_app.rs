//! The server as it is really put together: SQLite, a folder or memory for blobs, the CPU for rendering.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{Answer, basic, multipart};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tintype_api::app::{App, AppError, Outside, Records, Stores, open_records, open_stores};
use tintype_api::catalog::Catalog;
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::config::secret_key;
use tintype_api::demo::{Demo, find_or_create};
use tintype_api::domain::{Asset, AssetKey, BlobKey, Day, DeliveryType, Derived, PublicId, ResourceType, Usage};
use tintype_api::fetch::RemoteClient;
use tintype_api::http::router;
use tintype_api::http::serve::{ConnectionLimits, serve};
use tintype_api::import::Importer;
use tintype_api::service::access::Caller;
use tintype_api::service::deliver_types::Deliver;
use tintype_api::service::follow::Following;
use tintype_api::storage::{BlobStore, MemoryStore, path_of};
use tintype_render::choice::Choice;
use tower::ServiceExt;

/// 640x427.
pub const ROCKET: &[u8] = include_bytes!("../../assets/samples/rocket.jpg");
/// 451x300.
pub const CHELSEA: &[u8] = include_bytes!("../../assets/samples/chelsea.png");
/// 480x240, with alpha.
pub const ICON: &[u8] = include_bytes!("../../assets/samples/cloudinary_icon.png");

pub struct WholeApp {
    config: Config,
    folder: Arc<TempDir>,
    pub catalog: Arc<dyn Catalog>,
    pub records: Records,
    pub blobs: Arc<dyn BlobStore>,
    /// The second store, where there is one.
    pub copies: Option<Arc<dyn BlobStore>>,
    pub demo: Demo,
    pub app: App,
    router: Router,
}

impl WholeApp {
    /// With blobs in a folder.
    pub async fn start() -> Self {
        let (folder, config) = configured();
        let stores = open_stores(&config).await.unwrap();
        Self::with_blobs(folder, config, stores).await
    }

    /// With more flags.
    pub async fn start_with(flags: &[(&str, &str)]) -> Self {
        let (folder, config) = configured_with(flags);
        let stores = open_stores(&config).await.unwrap();
        Self::with_blobs(folder, config, stores).await
    }

    /// With other blobs, and with more flags.
    pub async fn start_over(blobs: Arc<dyn BlobStore>, flags: &[(&str, &str)]) -> Self {
        let (folder, config) = configured_with(flags);
        Self::with_blobs(folder, config, blobs.into()).await
    }

    /// With blobs in memory.
    pub async fn start_in_memory() -> Self {
        let (folder, config) = configured();
        let blobs: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
        Self::with_blobs(folder, config, blobs.into()).await
    }

    async fn with_blobs(folder: TempDir, config: Config, stores: Stores) -> Self {
        let records = open_records(&config).await.unwrap();
        let catalog = records.catalog.clone();
        let demo = find_or_create(catalog.as_ref()).await.unwrap().unwrap();
        assert!(demo.created);
        let (app, router) = assemble(&config, &records, &stores).await;
        let Stores { blobs, copies } = stores;
        WholeApp { config, folder: Arc::new(folder), catalog, records, blobs, copies, demo, app, router }
    }

    /// Another server over the same blobs, with a catalog of its own over the same rows.
    pub async fn beside(&self, following: Following) -> Self {
        self.beside_with(Outside { following, ..Outside::default() }).await
    }

    /// As [`WholeApp::beside`], with another outside.
    pub async fn beside_with(&self, outside: Outside) -> Self {
        self.beside_with_records(open_records(&self.config).await.unwrap(), outside).await
    }

    /// Another server over the same blobs and these records.
    pub async fn beside_over(&self, records: Records) -> Self {
        self.beside_with_records(records, Outside::default()).await
    }

    async fn beside_with_records(&self, records: Records, outside: Outside) -> Self {
        let chosen = Choice::cpu_only("a test");
        let app =
            App::assemble_with(self.config.clone(), records.clone(), self.stores(), chosen, outside).await.unwrap();
        WholeApp {
            config: self.config.clone(),
            folder: self.folder.clone(),
            catalog: records.catalog.clone(),
            records,
            blobs: self.blobs.clone(),
            copies: self.copies.clone(),
            demo: self.demo.clone(),
            router: router(app.state()),
            app,
        }
    }

    /// Opens the catalog as another start of this program does.
    pub async fn reopen(&self) -> Result<Records, AppError> {
        open_records(&self.config).await
    }

    /// The key of the catalog.
    pub fn secret_key(&self) -> [u8; 32] {
        secret_key::load_or_create(&self.config.secret_key_file).unwrap()
    }

    /// The folder of all that the server has.
    pub fn data(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Another process over the same catalog and blobs: its memory is empty, its counters start from 0.
    pub async fn restart(&mut self) {
        (self.app, self.router) = assemble(&self.config, &self.records, &self.stores()).await;
    }

    fn stores(&self) -> Stores {
        Stores { blobs: self.blobs.clone(), copies: self.copies.clone() }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The answer while its body is still to be read.
    pub async fn begin(&self, request: Request<Body>) -> axum::http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Uploads with Basic auth, and gives the answer of a success.
    pub async fn upload(&self, filename: &str, file: &[u8], params: &[(&str, &str)]) -> Value {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut request = multipart("/v1_1/demo/image/upload", &params, Some((filename, file)));
        let credentials = basic(&self.demo.key.key, self.demo.key.secret.expose());
        request.headers_mut().insert("authorization", credentials.parse().unwrap());
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Posts a form as it is: status and JSON.
    pub async fn post(
        &self,
        path: &str,
        params: &[(&str, &str)],
        file: Option<(&str, &[u8])>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut request = multipart(&format!("/v1_1/demo{path}"), &params, file);
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let answer = self.send(request).await;
        (answer.status.as_u16(), answer.json())
    }

    /// Value of `Authorization` of the demo's key.
    pub fn credentials(&self) -> String {
        basic(&self.demo.key.key, self.demo.key.secret.expose())
    }

    /// A call of the Admin API with Basic auth: status and JSON.
    pub async fn admin(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let credentials = basic(&self.demo.key.key, self.demo.key.secret.expose());
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1_1/demo{path}"))
            .header("authorization", credentials)
            .header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.send(request.body(body).unwrap()).await;
        (answer.status.as_u16(), answer.json())
    }

    pub async fn asset(&self, public_id: &str) -> Asset {
        let key = AssetKey {
            cloud: self.demo.cloud.id.clone(),
            resource_type: ResourceType::Image,
            delivery_type: DeliveryType::Upload,
            public_id: PublicId::new(public_id).unwrap(),
        };
        self.catalog.asset(&key).await.unwrap().expect("the asset is there")
    }

    /// Waits until `n` derived pictures of an asset are kept, which happens after their first answers.
    pub async fn derived(&self, public_id: &str, n: usize) -> Vec<Derived> {
        let asset = self.asset(public_id).await;
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let derived = self.catalog.derived_of(&asset.id, 100).await.unwrap();
            if derived.len() >= n {
                return derived;
            }
            assert!(Instant::now() < until, "{} of {n} pictures were kept", derived.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where everything lies, for commands that run beside this server.
    pub fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// Where a blob lies; only where blobs are in a folder.
    pub fn blob_file(&self, blob: &BlobKey) -> PathBuf {
        let file = self.config.data_dir.join("blobs").join(path_of(blob));
        assert!(file.exists(), "{}", file.display());
        file
    }

    /// Waits until the only derived picture of an asset is kept under another key.
    pub async fn wait_for_blob_other_than(&self, public_id: &str, old: &BlobKey) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.derived(public_id, 1).await[0].blob == *old {
            assert!(Instant::now() < until, "the picture was not kept again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Pictures that were rendered since the start.
    pub async fn renders(&self) -> u64 {
        self.metric("tintype_renders_total{backend=\"cpu\"}").await
    }

    pub async fn metric(&self, name: &str) -> u64 {
        let answer = self.get("/metrics").await;
        let text = answer.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().parse().unwrap()
    }

    /// Listens on a port of its own until the test ends.
    pub async fn listen(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.listen_on(listener);
        address
    }

    /// Serves a listener until the test ends.
    pub fn listen_on(&self, listener: tokio::net::TcpListener) {
        let (router, deliver) = (self.router.clone(), self.app.state().deliver);
        tokio::spawn(serve(listener, router, deliver, ConnectionLimits::default(), std::future::pending()));
    }

    /// What a listener needs.
    pub fn parts(&self) -> (Router, Arc<dyn Deliver>) {
        (self.router.clone(), self.app.state().deliver)
    }

    /// Imports into the demo cloud, with what this server may fetch.
    pub fn importer(&self) -> Importer {
        Importer {
            uploads: self.app.uploads().clone(),
            library: self.app.state().library,
            remote: RemoteClient::new(self.config.remote.fetch_settings().unwrap()).unwrap(),
            caller: Caller { cloud: self.demo.cloud.clone(), key: self.demo.key.clone() },
        }
    }

    /// Sums of the cloud, with everything that is pending.
    pub async fn usage(&self) -> Usage {
        self.app.flush_usage().await;
        self.catalog.usage(&self.demo.cloud.id, Day::today()).await.unwrap()
    }
}

/// The answer to a call of the API that succeeds.
pub async fn ok(app: &WholeApp, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = app.admin(method, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Status and text of a call of the API that fails.
pub async fn refused(app: &WholeApp, method: Method, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = app.admin(method, path, body).await;
    (status, answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{path}: {answer}")).to_owned())
}

fn configured() -> (TempDir, Config) {
    configured_with(&[])
}

fn configured_with(more: &[(&str, &str)]) -> (TempDir, Config) {
    let folder = TempDir::new().unwrap();
    let flags: BTreeMap<String, String> = [
        ("data_dir", folder.path().to_str().unwrap()),
        ("renderer", "cpu"),
        ("threads", "2"),
        ("memory_budget_mb", "512"),
    ]
    .into_iter()
    .chain(more.iter().copied())
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    let config = Config::from_sources(&flags, &[], None, &Machine::detect()).unwrap();
    (folder, config)
}

async fn assemble(config: &Config, records: &Records, stores: &Stores) -> (App, Router) {
    let chosen = Choice::cpu_only("a test");
    let app = App::assemble(config.clone(), records.clone(), stores.clone(), chosen).await.unwrap();
    let router = router(app.state());
    (app, router)
}
