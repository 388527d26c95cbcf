//! Puts the server together from its configuration: the only file that chooses implementations.

use crate::auth::signature::SignaturePolicy;

use crate::catalog::library::Library;
use crate::catalog::postgres::PostgresCatalog;
use crate::catalog::sqlite::SqliteCatalog;
use crate::catalog::{Catalog, CatalogError};
use crate::config::{CatalogConfig, Config, ProfileChoice, RendererChoice, secret_key};
use crate::demo;
use crate::domain::{CloudName, Timestamp};
use crate::fetch::{RemoteClient, SetupError};
use crate::font_files;
use crate::http::serve::{ConnectionLimits, serve_with};
use crate::http::tls::{Certificate, TlsError};
use crate::http::{HttpState, router};
use crate::jobs::announce::Announcer;
use crate::jobs::batch::BatchHandler;
use crate::jobs::clock::Clock as JobClock;
use crate::jobs::copy::{self, CopyCounts, CopyHandler};
use crate::jobs::eager::EagerHandler;
use crate::jobs::explicit::ExplicitHandler;
use crate::jobs::handler::Handler;
use crate::jobs::make::MakeHandler;
use crate::jobs::metrics::JobMetrics;
use crate::jobs::notify::{NoNotifier, Notifier};
use crate::jobs::queue::JobQueue;
use crate::jobs::upload::UploadHandler;
use crate::jobs::webhook::WebhookHandler;
use crate::jobs::worker::{Lane, Worker, WorkerSettings};
use crate::jobs::{COPY, EAGER, EAGER_BATCH, EXPLICIT, MAKE, UPLOAD, WEBHOOK};
use crate::metrics::Metrics;
use crate::pipeline_files::PipelineFiles;
use crate::probe;
use crate::service::animate::Animator;
use crate::service::deliver::{Delivery, DeliveryCache, DeliverySettings};
use crate::service::derive::Deriver;
use crate::service::follow::{Following, follow};
use crate::service::gate::Gate;
use crate::service::keep::{DerivedKeeper, Uses};
use crate::service::library::{self, LibraryService};
use crate::service::mapped::Mapped;
use crate::service::meter::Meter;
use crate::service::renderer::{EagerRenderer, UploadedPictures};
use crate::service::studio::{Studio, StudioLimits};
use crate::service::turn::{self, Turns};
use crate::service::upgrade::{Upgrades, default_effort};
use crate::service::upload::{Changed, UploadService, UploadSettings};
use crate::signals;
use crate::storage::{Backup, BlobStore, GuardedStore, MemoryStore};
pub use crate::stores::{Stores, open_backup, open_store, open_stores};
use crate::tidying::{remove_unfinished, sweep, sweep_copies};
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tintype_render::Limits;
use tintype_render::choice::{self, Choice, RendererMode};
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::gpu::{Clock, GpuOptions};
use tintype_render::plan::facts::Profile;
use tintype_render::text::Fonts;
use tintype_scheduler::{Config as SchedulerConfig, Scheduler};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What a client is told when the server is full.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long started work may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// Least size of a part of a file that is not the last: what clients of Cloudinary keep to.
const MIN_PART_BYTES: u64 = 5 << 20;

/// Why the server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot read fonts in {}: {error}", folder.display())]
    Fonts { folder: std::path::PathBuf, error: std::io::Error },
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error("storage: {0}")]
    Storage(#[from] crate::storage::StorageError),
    #[error("the store of the copies (backup) is the store of the blobs itself, or lies in it")]
    SameStore,
    #[error("renderer: {0}")]
    Renderer(String),
    #[error("scheduler: {0}")]
    Scheduler(#[from] tintype_scheduler::StartError),
    #[error("fetching: {0}")]
    Fetch(#[from] SetupError),
    #[error("{0}")]
    Demo(String),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: std::net::SocketAddr, error: std::io::Error },
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
}

/// The renderer's ceilings, from the configuration.
pub fn limits(config: &Config) -> Limits {
    Limits {
        source_pixels: config.render.max_source_pixels,
        output_pixels: config.render.max_output_pixels,
        animation_frames: config.render.max_animation_frames,
        animation_pixels: config.render.max_animation_pixels,
        source_bytes: config.http.max_upload_bytes,
        ..Limits::default()
    }
}

/// The rendering profile, from the configuration.
pub fn profile(config: &Config) -> Profile {
    match config.render.profile {
        ProfileChoice::Quality => Profile::Quality,
        ProfileChoice::Fast => Profile::Fast,
    }
}

/// The server's records, as both of their faces.
#[derive(Clone)]
pub struct Records {
    pub catalog: Arc<dyn Catalog>,
    pub library: Library,
}

impl<C: Catalog + 'static> From<Arc<C>> for Records
where
    Library: From<Arc<C>>,
{
    fn from(catalog: Arc<C>) -> Self {
        Records { library: Library::from(catalog.clone()), catalog }
    }
}

/// Opens the catalog, creating and migrating it as needed.
pub async fn open_records(config: &Config) -> Result<Records, AppError> {
    let key = secret_key::load_or_create(&config.secret_key_file)?;
    let records: Records = match &config.catalog {
        CatalogConfig::Sqlite(path) => Arc::new(SqliteCatalog::open(path, key).await?).into(),
        CatalogConfig::Postgres(url) => Arc::new(PostgresCatalog::open(url.expose(), key).await?).into(),
    };
    if config.backup.is_some() {
        records.library.keep_copies();
    }
    bring_index_up_to_date(&records).await?;
    Ok(records)
}

/// As [`open_records`], for those that only need the catalog.
pub async fn open_catalog(config: &Config) -> Result<Arc<dyn Catalog>, AppError> {
    Ok(open_records(config).await?.catalog)
}

/// What assets are found by was written by other rules, or not at all, when this differs.
/// Programs of two revisions would undo each other's work: another one goes with a step of the schema that older programs do
/// not work with.
const INDEX_REVISION: u32 = 2;

async fn bring_index_up_to_date(records: &Records) -> Result<(), AppError> {
    const NAME: &str = "index_revision";
    let recorded = records.catalog.setting(NAME).await?.and_then(|text| text.parse::<u32>().ok());
    match recorded.map(|recorded| recorded.cmp(&INDEX_REVISION)) {
        Some(Ordering::Equal) => {}
        Some(Ordering::Greater) => {
            return Err(CatalogError::Schema("a newer program has indexed its assets by other rules".to_owned()).into());
        }
        Some(Ordering::Less) | None => {
            let assets = records.library.reindex().await?;
            tracing::info!(assets, "assets were indexed");
            records.catalog.set_setting(NAME, &INDEX_REVISION.to_string()).await?;
        }
    }
    Ok(())
}

/// Time since the first call: the renderer has no clock of its own.
fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// How devices are used, without anything that is kept between two starts.
pub fn gpu_options(budget_bytes: u64) -> GpuOptions {
    let cpu_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let budget_bytes = budget_bytes.min(1 << 30);
    GpuOptions { budget_bytes, clock: Some(Clock(clock)), cpu_threads, ..GpuOptions::default() }
}

/// Chooses what renders for a server, and says why. Compiled kernels are kept in the data folder.
pub fn choose_renderer_of(config: &Config) -> Result<Choice, AppError> {
    let options = GpuOptions {
        cpu_threads: config.render.threads,
        pipeline_caches: Some(PipelineFiles::caches(&config.data_dir)),
        ..gpu_options(config.scheduler.memory_budget_bytes / 2)
    };
    choose(config.render.renderer, options)
}

/// Chooses what renders, and says why.
pub fn choose_renderer(wanted: RendererChoice, budget_bytes: u64) -> Result<Choice, AppError> {
    choose(wanted, gpu_options(budget_bytes))
}

fn choose(wanted: RendererChoice, options: GpuOptions) -> Result<Choice, AppError> {
    let mode = match wanted {
        RendererChoice::Cpu => RendererMode::Cpu,
        RendererChoice::Gpu => RendererMode::Gpu,
        RendererChoice::Software => RendererMode::Software,
        RendererChoice::Auto => match probe::hardware_adapters() {
            Ok(found) if found.is_empty() => {
                return Ok(Choice::cpu_only("cpu: no adapter but software ones, which are slower than the CPU path"));
            }
            Ok(_) => RendererMode::Auto,
            Err(error) => return Ok(Choice::cpu_only(&format!("cpu: adapters could not be listed: {error}"))),
        },
    };
    choice::choose(mode, options).map_err(|error| AppError::Renderer(error.to_string()))
}

/// A server that is put together but does not listen yet.
pub struct App {
    config: Config,
    catalog: Arc<dyn Catalog>,
    blobs: Arc<dyn BlobStore>,
    /// The second store with what has become of copies, where there is one.
    backup: Option<(Backup, Arc<CopyCounts>)>,
    scheduler: Arc<Scheduler>,
    deriver: Arc<Deriver>,
    upgrades: Arc<Upgrades>,
    keeper: Arc<DerivedKeeper>,
    meter: Arc<Meter>,
    uploads: UploadService,
    worker: Arc<Worker>,
    state: HttpState,
    renderer: String,
    /// Tells tasks in the background that the server is still there.
    _alive: Arc<()>,
}

/// What connects a server to the world outside of its stores.
#[derive(Clone)]
pub struct Outside {
    pub notifier: Arc<dyn Notifier>,
    /// The time that jobs go by.
    pub clock: JobClock,
    /// How changes of other processes are noticed.
    pub following: Following,
    /// How long another node waits for a picture that one renders.
    pub rendering_lease: Duration,
}

impl Default for Outside {
    fn default() -> Self {
        Outside {
            notifier: Arc::new(NoNotifier),
            clock: JobClock::system(),
            following: Following::default(),
            rendering_lease: turn::LEASE,
        }
    }
}

impl App {
    /// Opens everything that the configuration names.
    pub async fn open(config: Config) -> Result<App, AppError> {
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|error| AppError::Demo(format!("cannot create {}: {error}", config.data_dir.display())))?;
        let records = open_records(&config).await?;
        let stores = open_stores(&config).await?;
        let chosen = choose_renderer_of(&config)?;
        Self::assemble(config, records, stores, chosen).await
    }

    /// A server whose rows and blobs lie in memory and end with it. It renders on the CPU: nothing is looked for or
    /// compiled at the start.
    pub async fn in_memory(config: Config) -> Result<App, AppError> {
        let records = Records::from(Arc::new(SqliteCatalog::in_memory().await?));
        let chosen = Choice::cpu_only("cpu: nothing else is looked for in memory");
        let blobs: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
        Self::assemble(config, records, blobs, chosen).await
    }

    /// Joins given stores and a given renderer.
    pub async fn assemble(
        config: Config,
        records: Records,
        stores: impl Into<Stores>,
        chosen: Choice,
    ) -> Result<App, AppError> {
        let outside =
            Outside { notifier: Arc::new(RemoteClient::new(config.remote.fetch_settings()?)?), ..Outside::default() };
        Self::assemble_with(config, records, stores, chosen, outside).await
    }

    /// As [`App::assemble`], with another outside.
    pub async fn assemble_with(
        config: Config,
        records: Records,
        stores: impl Into<Stores>,
        chosen: Choice,
        outside: Outside,
    ) -> Result<App, AppError> {
        let Stores { blobs, copies } = stores.into();
        let Records { catalog, library } = records;
        let queue = JobQueue::new(library.clone(), outside.clock.clone());
        let guarded = GuardedStore::new(blobs, copies);
        let faults = guarded.counts().clone();
        let backup = guarded.backup().map(|backup| (backup, Arc::new(CopyCounts::default())));
        if backup.is_some() {
            library.keep_copies();
            let queue = queue.clone();
            guarded.on_fault(Box::new(move |blob| {
                let (queue, blob) = (queue.clone(), blob.clone());
                tokio::spawn(async move { copy::bring_back(&queue, &blob).await });
            }));
        }
        let blobs: Arc<dyn BlobStore> = Arc::new(guarded);
        let announcer = Announcer::new(catalog.clone(), queue.clone());
        let limits = limits(&config);
        let detector = FaceDetector::new().map_err(|error| AppError::Renderer(error.to_string()))?;
        let memory = config.memory(chosen.backend.is_some());
        tracing::info!(%memory, "memory");
        tintype_render::pool::limit(memory.pool as usize);
        let scheduler = Arc::new(Scheduler::start(
            SchedulerConfig {
                n_threads: config.render.threads,
                max_waiting_interactive: config.scheduler.queue_length,
                max_waiting_eager: config.scheduler.queue_length,
                budget_bytes: memory.renderings,
                ..SchedulerConfig::default()
            },
            Arc::new(CpuBackend::new()),
            chosen.backend.clone(),
            Arc::new(detector),
            limits.clone(),
        )?);
        let turns = Turns::new(library.clone(), outside.rendering_lease);
        let animator = Arc::new(Animator::new(scheduler.clone(), limits.clone()));
        let deriver = Deriver::new(
            catalog.clone(),
            blobs.clone(),
            scheduler.clone(),
            animator.clone(),
            turns,
            limits.clone(),
            profile(&config),
        );
        let cache = DeliveryCache::new(memory.url_cache as usize, Some(outside.following.blind_age));
        let meter = Arc::new(Meter::default());
        let uses = Arc::new(Uses::default());
        let most_bytes = config.cache.derived_max_bytes;
        let keeper =
            Arc::new(DerivedKeeper::new(catalog.clone(), deriver.clone(), cache.clone(), uses.clone(), most_bytes));
        let most_effort = config.render.auto_format_effort.unwrap_or_else(|| default_effort(profile(&config)));
        let upgrades = Upgrades::new(
            deriver.clone(),
            scheduler.clone(),
            config.render.threads,
            (!most_effort.is_zero()).then_some(most_effort),
        );
        let forgetful = cache.clone();
        let changed: Changed = Arc::new(move |cloud| forgetful.invalidate(cloud));
        let records = library.clone();
        let eager = Arc::new(EagerRenderer::new(deriver.clone(), meter.clone(), RETRY_AFTER));
        let signature_policy = SignaturePolicy { accept_v1: config.http.accept_signature_v1 };
        // One for all calls, so that its ceilings hold for them together.
        let remote = RemoteClient::new(config.remote.fetch_settings()?)?;
        let library = LibraryService::new(library::Parts {
            catalog: catalog.clone(),
            library,
            blobs: blobs.clone(),
            eager: eager.clone(),
            changed: changed.clone(),
            announcer,
            public_base_url: config.http.public_base_url.clone(),
            limits: library::MediaLimits {
                max_upload_bytes: config.http.max_upload_bytes,
                max_pixels: config.render.max_source_pixels,
            },
        })
        .with_studio(Studio::new(
            scheduler.clone(),
            Arc::new(Fonts::new(font_files::read(&config.making.fonts_dir)?)),
            Arc::new(UploadedPictures::new(scheduler.clone(), animator.clone(), limits.clone())),
            remote.clone(),
            limits.clone(),
            StudioLimits {
                max_pictures: config.making.max_pictures,
                max_pixels: config.making.max_pixels,
                max_file_bytes: config.http.max_upload_bytes,
            },
        ));
        let alive = Arc::new(());
        tokio::spawn(follow(Arc::downgrade(&alive), records, cache.clone(), library.clone(), outside.following));
        let delivery = Delivery::new(
            catalog.clone(),
            blobs.clone(),
            deriver.clone(),
            upgrades.clone(),
            library.clone(),
            Gate::new(scheduler.clone()),
            &cache,
            meter.clone(),
            uses,
            DeliverySettings {
                default_cloud: config.default_cloud.as_deref().and_then(|name| CloudName::new(name).ok()),
                unversioned_max_age: config.cache.unversioned_max_age,
                provisional_max_age: config.cache.provisional_max_age,
                retry_after: RETRY_AFTER,
            },
        );
        let uploads = UploadService::new(
            catalog.clone(),
            library.clone(),
            blobs.clone(),
            Arc::new(UploadedPictures::new(scheduler.clone(), animator.clone(), limits)),
            eager,
            changed,
            UploadSettings {
                public_base_url: config.http.public_base_url.clone(),
                max_upload_bytes: config.http.max_upload_bytes,
                policy: signature_policy,
                max_uploads: 256,
                inspect_budget_bytes: memory.uploads,
                min_part_bytes: MIN_PART_BYTES,
            },
        )
        .with_remote(remote);
        let mapped = Mapped::new(library.clone(), uploads.clone());
        let job_metrics = Arc::new(JobMetrics::new(outside.clock));
        let settings = WorkerSettings { lease: config.jobs.lease, ..WorkerSettings::default() };
        let lanes = lanes(&config, &catalog, &library, &uploads, &outside.notifier, &backup);
        let worker = Arc::new(Worker::new(queue, lanes, settings, job_metrics.clone()));
        let renderer = chosen.reason.clone();
        let state = HttpState {
            upload: uploads.clone(),
            library,
            rate: Arc::default(),
            signature_policy,
            deliver: Arc::new(delivery.with_mapped(mapped).with_faults(faults.clone())),
            metrics: Arc::new(Metrics {
                scheduler: scheduler.clone(),
                cache,
                memory,
                keeper: keeper.clone(),
                jobs: job_metrics,
                upgrades: upgrades.clone(),
                faults,
                copies: backup.as_ref().map(|(_, counts)| counts.clone()),
                renderer: renderer.clone(),
            }),
            request_timeout: config.http.request_timeout,
        };
        Ok(App {
            config,
            catalog,
            blobs,
            backup,
            scheduler,
            deriver,
            upgrades,
            keeper,
            meter,
            uploads,
            worker,
            state,
            renderer,
            _alive: alive,
        })
    }

    /// The routes, for tests that need no listener.
    pub fn state(&self) -> HttpState {
        self.state.clone()
    }

    /// Writes the usage that is counted but not yet in the catalog.
    pub async fn flush_usage(&self) {
        self.meter.flush(self.catalog.as_ref()).await;
    }

    /// Records the uses of derived pictures and removes those that are too many, as a running server does now and then.
    pub async fn tidy_derived(&self) {
        self.keeper.tidy().await;
    }

    /// Runs jobs of this server's catalog.
    pub fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// The second store, where there is one.
    pub fn backup(&self) -> Option<&Backup> {
        self.backup.as_ref().map(|(backup, _)| backup)
    }

    /// What has become of copies in this process, where there is a second store.
    pub fn copy_counts(&self) -> Option<&CopyCounts> {
        self.backup.as_ref().map(|(_, counts)| &**counts)
    }

    /// Deletes copies of originals that were deleted so long ago by then, as a running server does now and then, and gives
    /// how many there were.
    pub async fn remove_old_copies(&self, now: Timestamp) -> Result<u64, String> {
        let Some((backup, counts)) = &self.backup else { return Ok(0) };
        copy::remove_old(self.state.library.library(), backup, counts, self.config.backup_grace, now).await
    }

    /// The records of the server.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    /// The upload service.
    pub fn uploads(&self) -> &UploadService {
        &self.uploads
    }

    /// Serves until the process is told to stop, then finishes what was begun.
    pub async fn run(self) -> Result<(), AppError> {
        // Before anything is made or printed.
        let certificate = match &self.config.http.tls {
            None => None,
            Some((certificate, key)) => Some(Arc::new(Certificate::open(certificate, key)?)),
        };
        tokio::spawn(signals::outlive_hangups(certificate.is_some()));
        let address = self.config.http.listen;
        let listener = TcpListener::bind(address).await.map_err(|error| AppError::Listen { address, error })?;
        let found = demo::find_or_create(self.catalog.as_ref()).await?;
        if let Some(demo) = &found {
            if demo.created {
                demo::load_samples(demo, &self.uploads).await.map_err(AppError::Demo)?;
            }
            println!("{}", demo::greeting(demo, &self.config.http.public_base_url));
        }
        println!("renderer: {}", self.renderer);
        println!("catalog: {}, data in {}", self.catalog.kind(), self.config.data_dir.display());
        match self.backup() {
            Some(backup) => println!("blobs: {}, copies: {}", self.blobs.kind(), backup.copies().kind()),
            None => println!("blobs: {}", self.blobs.kind()),
        }
        let scheme = if certificate.is_some() { "https" } else { "http" };
        println!("listening on {scheme}://{address}");
        self.serve_on(listener, certificate, signals::stop()).await
    }

    /// Serves a listener and runs jobs until `stop` is done, then finishes what was begun.
    pub async fn serve_on(
        self,
        listener: TcpListener,
        certificate: Option<Arc<Certificate>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let watcher = certificate.clone().map(|certificate| tokio::spawn(certificate.watch()));
        let (stop_jobs, jobs_stopped) = watch::channel(false);
        let jobs = tokio::spawn({
            let worker = self.worker.clone();
            async move { worker.run(jobs_stopped).await }
        });
        tokio::spawn(Meter::run(Arc::downgrade(&self.meter), self.catalog.clone()));
        let sweeper = tokio::spawn(sweep(
            self.catalog.clone(),
            self.state.library.library().clone(),
            self.deriver.clone(),
            self.keeper.clone(),
        ));
        let old_copies = self.backup.clone().map(|(backup, counts)| {
            let (library, grace) = (self.state.library.library().clone(), self.config.backup_grace);
            tokio::spawn(sweep_copies(library, backup, counts, grace))
        });
        let copies = self.backup().map(|backup| backup.copies().clone());
        let tidier = tokio::spawn(remove_unfinished(
            std::iter::once(self.blobs.clone()).chain(copies).collect(),
            self.uploads.clone(),
        ));
        let deliver = self.state.deliver.clone();
        let answer_timeout = self.config.http.answer_timeout;
        let limits = ConnectionLimits { answer_timeout, grace: GRACE, ..Default::default() };
        let served = serve_with(listener, router(self.state), deliver, limits, certificate, stop);
        let result = served.await.map_err(AppError::Serve);
        tracing::info!("stopping");
        stop_jobs.send_replace(true);
        if let Err(error) = jobs.await {
            tracing::error!(%error, "the worker stopped");
        }
        self.scheduler.shutdown(GRACE).await;
        self.upgrades.settle().await;
        self.deriver.settle().await;
        sweeper.abort();
        tidier.abort();
        if let Some(old_copies) = old_copies {
            old_copies.abort();
        }
        if let Some(watcher) = watcher {
            watcher.abort();
        }
        if let Err(error) = self.keeper.record_uses().await {
            tracing::warn!(error = %error, "uses of derived pictures could not be recorded");
        }
        self.meter.flush(self.catalog.as_ref()).await;
        result
    }
}

impl App {
    /// Runs jobs, and serves nothing, until the process is told to stop.
    pub async fn run_worker(self) -> Result<(), AppError> {
        tokio::spawn(signals::outlive_hangups(false));
        println!("renderer: {}", self.renderer);
        println!("catalog: {}, data in {}", self.catalog.kind(), self.config.data_dir.display());
        println!("working");
        tokio::spawn(Meter::run(Arc::downgrade(&self.meter), self.catalog.clone()));
        let (stop, stopped) = watch::channel(false);
        let jobs = self.worker.run(stopped);
        tokio::pin!(jobs);
        tokio::select! {
            () = signals::stop() => {
                tracing::info!("stopping");
                stop.send_replace(true);
                jobs.await;
            }
            () = &mut jobs => {}
        }
        self.scheduler.shutdown(GRACE).await;
        self.deriver.settle().await;
        self.meter.flush(self.catalog.as_ref()).await;
        Ok(())
    }
}

/// Webhooks that are under way at once.
const N_WEBHOOKS: usize = 16;
/// Batches that run at once.
const N_BATCHES: usize = 2;
/// Originals that are copied at once.
const N_COPIES: usize = 4;

/// What a worker does: renderings, calls to other servers and batches do not wait for each other.
fn lanes(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
    library: &LibraryService,
    uploads: &UploadService,
    notifier: &Arc<dyn Notifier>,
    backup: &Option<(Backup, Arc<CopyCounts>)>,
) -> Vec<Lane> {
    let workers = config.jobs.workers;
    if workers == 0 {
        return Vec::new();
    }
    let lane = |slots, handlers: Vec<(_, Arc<dyn Handler>)>| Lane { slots, handlers: handlers.into_iter().collect() };
    let eager = EagerHandler::new(library.clone());
    let explicit = ExplicitHandler::new(library.clone());
    let make = MakeHandler::new(library.clone());
    let upload = UploadHandler::new(library.clone(), uploads.clone());
    let webhook = WebhookHandler::new(catalog.clone(), notifier.clone());
    // Two assets for each thread keep it busy while others are read and written.
    let batch = BatchHandler::new(library.clone(), config.render.threads.saturating_mul(2));
    let mut lanes = vec![
        lane(workers, vec![(EAGER, Arc::new(eager)), (EXPLICIT, Arc::new(explicit)), (MAKE, Arc::new(make))]),
        // Files of others are not waited for by renderings.
        lane(workers, vec![(UPLOAD, Arc::new(upload))]),
        lane(N_WEBHOOKS, vec![(WEBHOOK, Arc::new(webhook))]),
        lane(N_BATCHES, vec![(EAGER_BATCH, Arc::new(batch))]),
    ];
    // A process without the second store leaves copies to those that have it.
    lanes.extend(
        backup.clone().map(|(backup, counts)| lane(N_COPIES, vec![(COPY, Arc::new(CopyHandler::new(backup, counts)))])),
    );
    lanes
}
