//! The command line: `serve`, `dev`, `worker`, `jobs`, `eager`, `import`, `verify`, `backup`, `restore`, `render`, `explain`, `doctor`,
//! `bench`, `config`, `cloud`, `key`, `provision-key`, `sdk`.

mod adapters;
mod backup;
mod bench;
mod dev;
mod eager;
mod explain;
mod import;
mod jobs;
mod local;
mod sdk;
mod tenants;
mod verify;

use crate::app::{self, App, AppError};
use crate::config::{Config, LogConfig, LogFormat, table};
use crate::descriptors;
use crate::heap;
use crate::probe;
use crate::storage::BlobStore;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// Runs the program and says how it ended.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        Some(("serve", flags)) => serve(flags),
        Some(("dev", arguments)) => return dev::dev(arguments),
        Some(("worker", flags)) => worker(flags),
        Some(("jobs", arguments)) => jobs::jobs(arguments),
        Some(("eager", arguments)) => eager::eager(arguments),
        Some(("import", arguments)) => import::import(arguments),
        Some(("verify", arguments)) => verify::verify(arguments),
        Some(("backup", arguments)) => backup::backup(arguments),
        Some(("restore", arguments)) => backup::restore(arguments),
        Some(("render", arguments)) => local::render(arguments),
        Some(("explain", arguments)) => explain::explain(arguments),
        Some(("doctor", flags)) => doctor(flags),
        Some(("config", flags)) => load(flags).map(|config| print(&config.print())),
        Some(("bench", arguments)) => bench::bench(arguments),
        Some(("sdk", arguments)) => sdk::sdk(arguments),
        Some((name @ ("cloud" | "key" | "provision-key"), arguments)) => tenants::run(name, arguments),
        Some((probe::COMMAND, _)) => {
            probe::print();
            Ok(())
        }
        _ => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tintype: {message}");
            // The bench says 2, as for arguments that cannot be read: it was not able to measure.
            if matches.subcommand_name() == Some("bench") { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// The whole command line; its flags for the configuration come from the table of keys.
pub fn command() -> Command {
    let transformation = || {
        Arg::new("transformation")
            .long("transformation")
            .short('t')
            .help("As in a delivery URL, such as c_fill,w_300,h_200/r_20")
    };
    let layer = || {
        Arg::new("layer")
            .long("layer")
            .action(ArgAction::Append)
            .value_name("ID=FILE")
            .help("The picture that l_ID names; the sample pictures are known by their names")
    };
    let profile = || {
        Arg::new("profile")
            .long("profile")
            .default_value("quality")
            .value_parser(["quality", "fast"])
            .help("Rendering profile")
    };
    let renderer = || {
        Arg::new("renderer")
            .long("renderer")
            .default_value("auto")
            .value_parser(["auto", "gpu", "cpu", "software"])
            .help("What renders")
    };
    Command::new("tintype")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A self-hosted image service with Cloudinary's URLs and SDKs, rendering on the GPU")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(configured("serve", "Serve uploads and pictures over HTTP"))
        .subcommand(dev::command())
        .subcommand(configured("worker", "Do the work in the background of a server, without HTTP"))
        .subcommand(jobs::command())
        .subcommand(eager::command())
        .subcommand(import::command())
        .subcommand(verify::command())
        .subcommand(backup::backup_command())
        .subcommand(backup::restore_command())
        .subcommand(
            Command::new("render")
                .about("Transform one local file")
                .arg(Arg::new("input").required(true).help("Picture to read"))
                .arg(
                    Arg::new("output")
                        .required(true)
                        .help("File to write; its extension is the format unless f_ says another"),
                )
                .arg(transformation().default_value(""))
                .arg(layer())
                .arg(profile())
                .arg(renderer()),
        )
        .subcommand(
            configured("explain", "Print the plan of a picture as JSON")
                .arg(
                    Arg::new("picture")
                        .required(true)
                        .help("Path or URL of a delivery, or a local file with --transformation"),
                )
                .arg(transformation())
                .arg(layer()),
        )
        .subcommand(configured("doctor", "Say what renders, what is stored where, and what is wrong"))
        .subcommand(
            Command::new("bench")
                .about("Measure this machine with the workloads of the documentation")
                .arg(
                    Arg::new("rounds")
                        .long("rounds")
                        .default_value("7")
                        .value_parser(clap::value_parser!(u32).range(1..=1000))
                        .help("Interleaved rounds"),
                )
                .arg(
                    Arg::new("seconds")
                        .long("seconds")
                        .default_value("3")
                        .value_parser(clap::value_parser!(u32).range(1..=600))
                        .help("How long each load over HTTP lasts, in every round"),
                )
                .arg(
                    Arg::new("only")
                        .long("only")
                        .value_delimiter(',')
                        .action(ArgAction::Append)
                        .help("Workloads to run, such as W1,W8; all without it"),
                )
                .arg(
                    Arg::new("uploads")
                        .long("uploads")
                        .value_parser(clap::value_parser!(u32).range(16..=10_000_000))
                        .help("Uploads of the workload assets [default: 10000]"),
                )
                .arg(Arg::new("postgres").long("postgres").value_name("URL").requires("s3").help(
                    "Empty PostgreSQL database for the workload assets, which then runs on a second pair of stores",
                ))
                .arg(
                    Arg::new("s3")
                        .long("s3")
                        .value_name("URL")
                        .requires("postgres")
                        .help("S3 server and bucket for the same, such as http://127.0.0.1:9000/bench"),
                )
                .arg(Arg::new("json").long("json").value_name("FILE").help("Also write the results as JSON"))
                .arg(
                    Arg::new("html")
                        .long("html")
                        .value_name("FILE")
                        .help("Also write them as one HTML page with plots"),
                )
                .arg(
                    Arg::new("profile")
                        .long("profile")
                        .value_parser(["quality", "fast"])
                        .help("Only this profile; both without it"),
                )
                .arg(Arg::new("list").long("list").action(ArgAction::SetTrue).help("List the workloads and stop"))
                .arg(renderer()),
        )
        .subcommand(configured("config", "Print the configuration that is in force, secrets hidden"))
        .subcommands(tenants::commands())
        .subcommand(sdk::command())
        .subcommand(Command::new(probe::COMMAND).hide(true))
}

/// A command that takes every key of the configuration as a flag.
fn configured(name: &'static str, about: &'static str) -> Command {
    // Names of flags live as long as the program, which is how long the parser wants them.
    let flags = table::KEYS.iter().map(|key| {
        let help = if key.default.is_empty() {
            format!("{} [env: {}]", key.help, key.variable())
        } else {
            format!("{} [default: {}] [env: {}]", key.help, key.default, key.variable())
        };
        Arg::new(key.name).long(&*key.flag().leak()).value_name("VALUE").help(help)
    });
    Command::new(name).about(about).args(flags)
}

/// The configuration under the flags of a command.
fn load(flags: &ArgMatches) -> Result<Config, String> {
    let given: BTreeMap<String, String> = table::KEYS
        .iter()
        .filter_map(|key| Some((key.name.to_owned(), flags.get_one::<String>(key.name)?.clone())))
        .collect();
    Config::load(&given).map_err(|error| error.to_string())
}

fn print(text: &str) {
    // A closed pipe is no failure worth a message.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tintype-io")
        .build()
        .map_err(|error| format!("the runtime does not start: {error}"))
}

fn serve(flags: &ArgMatches) -> Result<(), String> {
    let config = load(flags)?;
    start_log(&config.log)?;
    heap::set_up(config.render.threads);
    descriptors::raise_limit();
    runtime()?.block_on(async { App::open(config).await?.run().await }).map_err(|error: AppError| error.to_string())
}

fn worker(flags: &ArgMatches) -> Result<(), String> {
    let mut config = load(flags)?;
    start_log(&config.log)?;
    config.jobs.workers = config.jobs.workers.max(1);
    let work = async { App::open(config).await?.run_worker().await };
    runtime()?.block_on(work).map_err(|error: AppError| error.to_string())
}

fn start_log(config: &LogConfig) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.filter)
        .map_err(|error| format!("the value of log is no filter: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Writes to a store, reads nothing, and leaves nothing; gives what is to be said of it.
async fn try_store(config: &Config, store: &dyn BlobStore) -> Result<String, String> {
    let catalog = app::open_catalog(config).await.map_err(|error| error.to_string())?;
    let clouds = catalog.clouds().await.map_err(|error| error.to_string())?;
    // A store may keep every cloud in a place of its own.
    let Some(cloud) = clouds.first() else {
        return Ok(format!("{}, readable; there is no cloud yet to write for", store.kind()));
    };
    let mut writer = store.create_for(&cloud.id).await.map_err(|error| error.to_string())?;
    writer.write(bytes::Bytes::from_static(b"doctor")).await.map_err(|error| error.to_string())?;
    let key = writer.commit().await.map_err(|error| error.to_string())?;
    store.delete(&key).await.map_err(|error| error.to_string())?;
    Ok(format!("{}, writable", store.kind()))
}

/// Lists adapters, the choice, codecs and stores; fails when something that `serve` needs does not work.
fn doctor(flags: &ArgMatches) -> Result<(), String> {
    let config = load(flags)?;
    print(&format!("tintype {}", env!("CARGO_PKG_VERSION")));
    let (mut problems, has_gpu) = adapters::report(&config);
    print(&format!("threads: {}, and as many of low priority for eager pictures", config.render.threads));
    print(&format!("memory: {}", config.memory(has_gpu)));
    print("reads: jpg, png, webp\nwrites: jpg (mozjpeg), png, webp (libwebp), avif (libaom)");
    let stores = runtime()?.block_on(async {
        let catalog = async {
            std::fs::create_dir_all(&config.data_dir).map_err(|error| error.to_string())?;
            let catalog = app::open_catalog(&config).await.map_err(|error| error.to_string())?;
            catalog.ping().await.map_err(|error| error.to_string())?;
            let clouds = catalog.clouds().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(format!("{}, {} clouds", catalog.kind(), clouds.len()))
        };
        let store = async {
            let store = app::open_store(&config).await.map_err(|error| error.to_string())?;
            try_store(&config, &*store).await
        };
        let backup = async {
            match app::open_stores(&config).await.map_err(|error| error.to_string())?.copies {
                Some(copies) => try_store(&config, &*copies).await,
                None => Ok("none".to_owned()),
            }
        };
        [("catalog", catalog.await), ("blobs", store.await), ("backup", backup.await)]
    });
    for (what, result) in stores {
        match result {
            Ok(text) => print(&format!("{what}: {text}")),
            Err(error) => {
                problems += 1;
                print(&format!("{what}: PROBLEM: {error}"));
            }
        }
    }
    if problems == 0 { Ok(()) } else { Err(format!("{problems} problems were found")) }
}
