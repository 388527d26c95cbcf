//! `tintype dev`: a server in memory for other people's tests. It needs no set-up, and nothing of it is left.

use super::runtime;
use crate::app::{App, AppError};
use crate::config::{Config, LogConfig, LogFormat};
use crate::demo::{self, Demo};
use crate::domain::{ApiKey, Cloud, CloudName, Secret};
use crate::heap;
use crate::signals;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(super) fn command() -> Command {
    Command::new("dev")
        .about("Serve one cloud from memory, to run other programs' tests against")
        .long_about(
            "Serve one cloud from memory, to run other programs' tests against. Everything is forgotten at the end.\n\n\
             tintype dev -- npm test\n\n\
             runs a command with CLOUDINARY_URL and TINTYPE_URL set, and ends with its status. Variables that would keep an \
             SDK from reading CLOUDINARY_URL, such as CLOUDINARY_CLOUD_NAME, are taken away. Without a command it serves \
             until it is stopped.",
        )
        .arg(
            Arg::new("dev-listen")
                .long("listen")
                .default_value("127.0.0.1:0")
                .value_parser(value_parser!(SocketAddr))
                .help("Address and port; port 0 takes a free one"),
        )
        .arg(Arg::new("cloud").long("cloud").default_value(demo::CLOUD).help("Name of the cloud"))
        .arg(Arg::new("api-key").long("api-key").default_value("111111111111111").help("Its API key"))
        .arg(Arg::new("api-secret").long("api-secret").default_value("tintype-dev").help("Its API secret"))
        .arg(Arg::new("samples").long("samples").action(ArgAction::SetTrue).help("Upload the sample pictures first"))
        .arg(Arg::new("log").long("log").default_value("warn").help("Least level that is logged, to stderr"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .last(true)
                .value_parser(value_parser!(OsString))
                .help("Command to run against the server"),
        )
}

pub(super) fn dev(arguments: &ArgMatches) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("tintype: {message}");
            ExitCode::FAILURE
        }
    }
}

fn word<'a>(arguments: &'a ArgMatches, name: &str) -> &'a str {
    arguments.get_one::<String>(name).map_or("", String::as_str)
}

fn run(arguments: &ArgMatches) -> Result<ExitCode, String> {
    let listen = *arguments.get_one::<SocketAddr>("dev-listen").ok_or("--listen is missing")?;
    let cloud = Cloud::new(CloudName::new(word(arguments, "cloud")).map_err(|error| format!("--cloud: {error}"))?);
    let key = key(&cloud, word(arguments, "api-key"), word(arguments, "api-secret"))?;
    super::start_log(&LogConfig { filter: word(arguments, "log").to_owned(), format: LogFormat::Text })?;
    runtime()?.block_on(async {
        let failed = |error| AppError::Listen { address: listen, error }.to_string();
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let config = config(address)?;
        heap::set_up(config.render.threads);
        let base = config.http.public_base_url.clone();
        let app = App::in_memory(config).await.map_err(|error| error.to_string())?;
        app.catalog().create_cloud(&cloud, &key).await.map_err(|error| error.to_string())?;
        let demo = Demo { cloud, key, created: true };
        if arguments.get_flag("samples") {
            demo::load_samples(&demo, app.uploads()).await?;
        }
        let command: Vec<OsString> = arguments.get_many("command").unwrap_or_default().cloned().collect();
        match command.split_first() {
            None => serve(app, listener, &demo, &base).await,
            Some((program, rest)) => serve_command(app, listener, &demo, &base, program, rest).await,
        }
    })
}

/// The pair that SDKs are given. Both end up in an address, so that only what needs no quoting there is taken.
fn key(cloud: &Cloud, key: &str, secret: &str) -> Result<ApiKey, String> {
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if key.is_empty() || key.len() > 64 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("--api-key must be 1 to 64 letters and digits".to_owned());
    }
    if secret.is_empty() || secret.len() > 255 || !plain(secret) {
        return Err("--api-secret must be 1 to 255 letters, digits, -, _ and .".to_owned());
    }
    Ok(ApiKey { key: key.to_owned(), secret: Secret::new(secret), ..ApiKey::random(cloud.id.clone()) })
}

/// The configuration in force, with everything that would be kept, or looked for, replaced.
fn config(address: SocketAddr) -> Result<Config, String> {
    let given = [
        ("listen", address.to_string()),
        ("public_base_url", format!("http://{address}")),
        ("tls_certificate", String::new()),
        ("tls_key", String::new()),
        ("catalog", "sqlite".to_owned()),
        ("storage", "folder".to_owned()),
        ("backup", "none".to_owned()),
        ("renderer", "cpu".to_owned()),
    ];
    let given: BTreeMap<String, String> = given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Config::load(&given).map_err(|error| error.to_string())
}

/// Variables that SDKs prefer to `CLOUDINARY_URL`, which alone says where the server is.
const IN_THE_WAY: &[&str] = &["CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET"];

/// What an SDK reads from its environment.
fn variables(demo: &Demo, base: &str) -> [(&'static str, String); 2] {
    [("CLOUDINARY_URL", demo::sdk_url(&demo.cloud, &demo.key, base)), ("TINTYPE_URL", base.to_owned())]
}

async fn serve(app: App, listener: TcpListener, demo: &Demo, base: &str) -> Result<ExitCode, String> {
    // Lines that a shell can take over; the last one says that requests are answered.
    for (name, value) in variables(demo, base) {
        println!("{name}={value}");
    }
    println!("ready: {base} (in memory: everything is forgotten at the end)");
    app.serve_on(listener, None, signals::stop()).await.map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_command(
    app: App,
    listener: TcpListener,
    demo: &Demo,
    base: &str,
    program: &OsString,
    arguments: &[OsString],
) -> Result<ExitCode, String> {
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(app.serve_on(listener, None, async {
        // A sender that is gone says the same.
        let _ = stopped.await;
    }));
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).envs(variables(demo, base)).kill_on_drop(true);
    for name in IN_THE_WAY {
        command.env_remove(name);
    }
    let status = async {
        let mut child =
            command.spawn().map_err(|error| format!("{} does not start: {error}", program.to_string_lossy()))?;
        tokio::select! {
            status = child.wait() => Ok(status.map_err(|error| error.to_string())?.code()),
            // The command is of the same process group, so that the terminal's signal has reached it too.
            () = signals::stop() => Ok(None),
        }
    };
    let status: Result<Option<i32>, String> = status.await;
    drop(stop);
    served.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    // A command that a signal ended has no code; shells say 128 and more then.
    let code = status?.unwrap_or(130);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
