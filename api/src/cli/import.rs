//! `tintype import`: a library from a folder, a bucket, or an account of Cloudinary.

use super::jobs::find_cloud;
use super::{configured, load, print, runtime, start_log};
use crate::app::{App, Records};
use crate::config::{Config, StorageConfig};
use crate::domain::Secret;
use crate::fetch::RemoteClient;
use crate::import::{self, Account, Definitions, Importer, Items, Options, Progress, Report, copy_definitions};
use crate::service::access::Caller;
use crate::service::library::FolderMode;
use crate::signals;
use crate::storage::s3::{Bucket, Checksums, S3Options, Timing};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the progress is shown.
const SHOW_EVERY: Duration = Duration::from_secs(2);
/// How long is waited when the account's limit of calls is reached.
const LIMIT_PAUSE: Duration = Duration::from_secs(60);

pub(super) fn command() -> Command {
    let common = |command: Command| {
        command
            .arg(Arg::new("cloud").long("cloud").required(true).help("Cloud that is imported into"))
            .arg(
                Arg::new("concurrency")
                    .long("concurrency")
                    .default_value("8")
                    .value_parser(value_parser!(u16).range(1..=64))
                    .help("Files on their way at once"),
            )
            .arg(
                Arg::new("dry-run")
                    .long("dry-run")
                    .action(ArgAction::SetTrue)
                    .help("Say what would be done, and change nothing"),
            )
            .arg(
                Arg::new("keep-existing")
                    .long("keep-existing")
                    .action(ArgAction::SetTrue)
                    .help("Leave assets alone that are here with other bytes; without it they are overwritten"),
            )
            .arg(
                Arg::new("report")
                    .long("report")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Also write the report as JSON, with every failure"),
            )
    };
    let prefix = || Arg::new("prefix").long("prefix").default_value("").help("Start of the public ids here");
    Command::new("import")
        .about("Bring a library here from a folder, a bucket or a Cloudinary account")
        .long_about(
            "Bring a library here from a folder, a bucket or a Cloudinary account. Files go the way of uploads; nothing is \
             changed where they come from. What is here already with the same bytes is passed over, so an import that was \
             interrupted goes on when it is run again.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(common(
            configured("folder", "Import the files below a folder; public ids are their paths")
                .arg(Arg::new("path").required(true).value_parser(value_parser!(PathBuf)).help("The folder"))
                .arg(prefix()),
        ))
        .subcommand(common(
            configured("bucket", "Import the objects of an S3 bucket, copied or in place; public ids are their names")
                .arg(Arg::new("address").required(true).value_name("s3://BUCKET/PREFIX").help("Which objects"))
                .arg(prefix())
                .arg(Arg::new("in-place").long("in-place").action(ArgAction::SetTrue).help(
                    "Leave the bytes in the bucket, which must be among external_s3_buckets; they are never changed or deleted",
                ))
                .arg(
                    Arg::new("endpoint")
                        .long("endpoint")
                        .help("Address of the S3 server; Amazon's in the region without it"),
                )
                .arg(Arg::new("region").long("region").env("AWS_REGION").default_value("us-east-1").help("Its region"))
                .arg(
                    Arg::new("access-key-id")
                        .long("access-key-id")
                        .env("AWS_ACCESS_KEY_ID")
                        .help("Name of the access key; that of the configured storage without it"),
                )
                .arg(
                    Arg::new("secret-access-key")
                        .long("secret-access-key")
                        .env("AWS_SECRET_ACCESS_KEY")
                        .hide_env_values(true)
                        .requires("access-key-id")
                        .help("Secret of the access key; better in the variable"),
                ),
        ))
        .subcommand(common(
            configured(
                "cloudinary",
                "Import assets and definitions of a Cloudinary account, or of another Tintype, through its Admin API",
            )
            .arg(
                Arg::new("from")
                    .long("from")
                    .env("CLOUDINARY_URL")
                    .hide_env_values(true)
                    .required(true)
                    .value_name("URL")
                    .help("cloudinary://<api key>:<api secret>@<cloud name>; better in the variable"),
            )
            .arg(
                Arg::new("rate")
                    .long("rate")
                    .default_value("5")
                    .value_parser(value_parser!(u16).range(1..=1000))
                    .help("Most calls of the Admin API in a second; its hourly limit is waited for"),
            )
            .arg(
                Arg::new("only")
                    .long("only")
                    .value_parser(["assets", "definitions"])
                    .help("Only the assets, or only transformations, presets, mappings, metadata fields and folders"),
            ),
        ))
}

/// Where an import comes from.
enum Source {
    Folder(PathBuf, String),
    Bucket { options: Box<S3Options>, prefix: String, in_place: bool },
    Account { address: String, rate: u16, assets: bool, definitions: bool },
}

pub(super) fn import(arguments: &ArgMatches) -> Result<(), String> {
    let (kind, flags) = arguments.subcommand().unwrap_or(("", arguments));
    let mut config = load(flags)?;
    // Jobs that imports cause are done by a server.
    config.jobs.workers = 0;
    start_log(&config.log)?;
    let word = |name: &str| flags.get_one::<String>(name).cloned().unwrap_or_default();
    let source = match kind {
        "folder" => {
            let path = flags.get_one::<PathBuf>("path").cloned().unwrap_or_default();
            if !path.is_dir() {
                return Err(format!("{} is no folder", path.display()));
            }
            Source::Folder(path, word("prefix"))
        }
        "bucket" => Source::Bucket {
            options: Box::new(bucket(flags, &config)?),
            prefix: word("prefix"),
            in_place: flags.get_flag("in-place"),
        },
        _ => {
            let only = word("only");
            Source::Account {
                address: word("from"),
                rate: flags.get_one::<u16>("rate").copied().unwrap_or(5),
                assets: only != "definitions",
                definitions: only != "assets",
            }
        }
    };
    let options = Options {
        concurrency: flags.get_one::<u16>("concurrency").copied().unwrap_or(8).into(),
        dry_run: flags.get_flag("dry-run"),
        keep_existing: flags.get_flag("keep-existing"),
        ..Options::default()
    };
    let report = flags.get_one::<PathBuf>("report").map(PathBuf::as_path);
    runtime()?.block_on(run(config, &word("cloud"), source, options, report))
}

/// A bucket by the flags, with the credentials of the configured storage where none are given.
fn bucket(flags: &ArgMatches, config: &Config) -> Result<S3Options, String> {
    let word = |name: &str| flags.get_one::<String>(name).cloned();
    let address = word("address").unwrap_or_default();
    let place = address.strip_prefix("s3://").ok_or("the bucket must be given as s3://BUCKET/PREFIX")?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err("the bucket must be given as s3://BUCKET/PREFIX".to_owned());
    }
    let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
    if flags.get_flag("in-place") {
        let configured = config.external.iter().find(|options| options.bucket == bucket).cloned();
        let configured = configured.ok_or_else(|| {
            format!("{bucket} is not among external_s3_buckets, which every server must know whose assets stay there")
        })?;
        return Ok(S3Options { prefix, ..configured });
    }
    let endpoint = word("endpoint");
    match (word("access-key-id"), &config.storage) {
        (Some(access_key_id), _) => Ok(S3Options {
            path_style: endpoint.is_some(),
            endpoint,
            region: word("region").unwrap_or_default(),
            bucket,
            prefix,
            access_key_id,
            secret_access_key: Secret::new(word("secret-access-key").unwrap_or_default()),
            checksums: Checksums::WhenRequired,
            timing: Timing::default(),
        }),
        (None, StorageConfig::S3(configured)) if endpoint.is_none() => {
            Ok(S3Options { bucket, prefix, ..(**configured).clone() })
        }
        _ => Err("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or their flags, are needed".to_owned()),
    }
}

async fn run(
    config: Config,
    cloud: &str,
    source: Source,
    options: Options,
    report_file: Option<&Path>,
) -> Result<(), String> {
    let remote = config.remote.fetch_settings().map_err(|error| error.to_string())?;
    let remote = RemoteClient::new(remote).map_err(|error| error.to_string())?;
    let app = App::open(config).await.map_err(|error| error.to_string())?;
    let library = app.state().library;
    let records = Records { catalog: app.catalog().clone(), library: library.library().clone() };
    let cloud = find_cloud(&records, cloud).await?;
    let keys = records.catalog.api_keys(&cloud.id).await.map_err(|error| error.to_string())?;
    let key = keys.into_iter().find(|key| key.enabled).ok_or("the cloud has no key that is enabled")?;
    let settings = library.settings_of(&cloud).await.map_err(|error| error.to_string())?;
    let dynamic = settings.folder_mode == FolderMode::Dynamic;
    let caller = Caller { cloud, key };
    let importer = Importer { uploads: app.uploads().clone(), library, remote: remote.clone(), caller };
    let (items, definitions): (Option<Items>, _) = match source {
        Source::Folder(path, prefix) => (Some(import::files(&path, &prefix, dynamic)), None),
        Source::Bucket { options, prefix, in_place } => {
            (Some(import::objects(Bucket::new(*options), &prefix, dynamic, in_place)), None)
        }
        Source::Account { address, rate, assets, definitions } => {
            let apart = Duration::from_secs(1) / u32::from(rate.max(1));
            let account = Account::new(remote, &address, apart, LIMIT_PAUSE).map_err(|error| error.to_string())?;
            // Metadata of assets needs its fields.
            let copied = match definitions {
                false => None,
                true => Some(
                    copy_definitions(&importer, &account, options.dry_run).await.map_err(|error| error.to_string())?,
                ),
            };
            (assets.then(|| account.assets(dynamic)), copied)
        }
    };
    let report = match items {
        None => Report::default(),
        Some(items) => watched(&importer, items, options).await,
    };
    app.flush_usage().await;
    if let Some(path) = report_file {
        let text = serde_json::json!({ "dry_run": options.dry_run, "assets": report, "definitions": definitions });
        std::fs::write(path, format!("{text:#}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    tell(&report, definitions.as_ref(), options)
}

/// Runs the import and shows how far it is.
async fn watched(importer: &Importer, items: Items, options: Options) -> Report {
    let (progress, started) = (Progress::default(), Instant::now());
    let work = importer.run(items, options, &progress, signals::stop());
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(SHOW_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            report = &mut work => return report,
            _ = ticks.tick() => {
                let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                let (imported, passed) = (read(&progress.imported), read(&progress.present) + read(&progress.kept));
                let seconds = started.elapsed().as_secs_f64();
                eprintln!(
                    "{imported} imported ({} MB), {passed} here already, {} failed, {:.1}/s",
                    read(&progress.bytes) / 1_000_000,
                    read(&progress.failed),
                    (imported + passed) as f64 / seconds
                );
            }
        }
    }
}

/// Prints how it ended; whatever failed is a failure of the command.
fn tell(report: &Report, definitions: Option<&Definitions>, options: Options) -> Result<(), String> {
    let mut failed = report.failed;
    if let Some(definitions) = definitions {
        for (kind, count) in &definitions.counts {
            print(&format!("{kind}: {} made, {} here already, {} failed", count.made, count.present, count.failed));
            failed += count.failed;
        }
    }
    let verb = if options.dry_run { "would be imported" } else { "imported" };
    print(&format!(
        "assets: {} {verb} ({} bytes), {} here already, {} left alone, {} failed",
        report.imported, report.bytes, report.present, report.kept, report.failed
    ));
    let failures = definitions.into_iter().flat_map(|definitions| &definitions.failures).chain(&report.failures);
    for failure in failures {
        eprintln!("{}: {}", failure.what, failure.reason);
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} could not be imported")) }
}
