//! `tintype jobs list|retry|drop`

use super::{configured, load, print, runtime};
use crate::app::{self, Records};
use crate::catalog::library::{JobFilter, JobPage};
use crate::config::Config;
use crate::domain::{CloudName, Job, JobId, JobKind, JobState, Timestamp};
use crate::service::library::view::iso_time;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fmt::Write;

/// Longest error that a list shows, in characters.
const SHOWN_CHARS: usize = 120;

/// The commands.
pub fn command() -> Command {
    let filtered = |name, about| {
        configured(name, about)
            .arg(
                Arg::new("state")
                    .long("state")
                    .value_parser(["waiting", "running", "done", "dead"])
                    .action(ArgAction::Append)
                    .help("Only jobs in this state"),
            )
            .arg(Arg::new("cloud").long("cloud").help("Only jobs of the cloud of this name"))
            .arg(Arg::new("kind").long("kind").help("Only jobs of this kind: eager, eager_batch, explicit, webhook"))
            .arg(Arg::new("id").long("id").action(ArgAction::Append).help("Only these jobs"))
    };
    let all = || Arg::new("all").long("all").action(ArgAction::SetTrue).help("Without a filter: all of them");
    Command::new("jobs")
        .about("List, retry or drop work in the background")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            filtered("list", "List jobs, newest first")
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .default_value("50")
                        .value_parser(clap::value_parser!(u32).range(1..=10_000))
                        .help("Most jobs to list"),
                )
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON object a line, in full")),
        )
        .subcommand(filtered("retry", "Make dead jobs wait again, with all of their attempts").arg(all()))
        .subcommand(filtered("drop", "Forget jobs; running ones are stopped").arg(all()))
}

/// Runs the command.
pub fn jobs(arguments: &ArgMatches) -> Result<(), String> {
    let Some((action, flags)) = arguments.subcommand() else { return Ok(()) };
    let config = load(flags)?;
    runtime()?.block_on(run(action, flags, &config))
}

async fn run(action: &str, flags: &ArgMatches, config: &Config) -> Result<(), String> {
    let records = app::open_records(config).await.map_err(|error| error.to_string())?;
    let filter = filter(flags, &records).await?;
    let failed = |error: crate::catalog::CatalogError| error.to_string();
    if action == "list" {
        let limit = flags.get_one::<u32>("limit").copied().unwrap_or(50);
        let page = records.library.jobs(&filter, limit, None).await.map_err(failed)?;
        let text = if flags.get_flag("json") { lines(&page) } else { table(&page, &records).await? };
        print(&text);
        return Ok(());
    }
    if filter == JobFilter::default() && !flags.get_flag("all") {
        return Err("name jobs by --state, --cloud, --kind or --id, or say --all".to_owned());
    }
    let count = match action {
        "retry" => records.library.retry_jobs(&filter, Timestamp::now()).await.map_err(failed)?,
        _ => records.library.drop_jobs(&filter).await.map_err(failed)?,
    };
    print(&format!("{count} {}", if action == "retry" { "dead jobs wait again" } else { "jobs were dropped" }));
    Ok(())
}

async fn filter(flags: &ArgMatches, records: &Records) -> Result<JobFilter, String> {
    let many = |name: &str| flags.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let states = many("state").into_iter().map(|text| text.parse::<JobState>().map_err(|error| error.to_string()));
    let ids = many("id").into_iter().map(|text| JobId::new(text).map_err(|error| error.to_string()));
    let cloud = match flags.get_one::<String>("cloud") {
        None => None,
        Some(name) => Some(find_cloud(records, name).await?.id),
    };
    Ok(JobFilter {
        states: states.collect::<Result<_, _>>()?,
        ids: ids.collect::<Result<_, _>>()?,
        cloud,
        kind: flags.get_one::<String>("kind").map(JobKind::any),
    })
}

/// The cloud of a name.
pub async fn find_cloud(records: &Records, name: &str) -> Result<crate::domain::Cloud, String> {
    let valid = CloudName::new(name).map_err(|error| error.to_string())?;
    let found = records.catalog.cloud_by_name(&valid).await.map_err(|error| error.to_string())?;
    found.ok_or_else(|| format!("there is no cloud {name}"))
}

fn lines(page: &JobPage) -> String {
    let line = |job: &Job| {
        serde_json::json!({
            "id": job.id.as_str(),
            "cloud": job.cloud.as_str(),
            "kind": job.kind.as_str(),
            "state": job.state.as_str(),
            "attempts": job.attempts,
            "max_attempts": job.max_attempts,
            "run_at": iso_time(job.run_at),
            "created_at": iso_time(job.created_at),
            "finished_at": job.finished_at.map(iso_time),
            "payload": job.payload,
            "progress": job.progress,
            "error": job.error,
        })
    };
    page.jobs.iter().map(|job| line(job).to_string()).collect::<Vec<_>>().join("\n")
}

async fn table(page: &JobPage, records: &Records) -> Result<String, String> {
    let clouds = records.catalog.clouds().await.map_err(|error| error.to_string())?;
    let mut text = format!("{:<32}  {:<11}  {:<7}  {:<8}  {:<20}  cloud", "id", "kind", "state", "attempts", "run at");
    for job in &page.jobs {
        let cloud = clouds.iter().find(|cloud| cloud.id == job.cloud).map_or(job.cloud.as_str(), |c| c.name.as_str());
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "\n{:<32}  {:<11}  {:<7}  {:<8}  {:<20}  {cloud}",
            job.id.as_str(),
            job.kind.as_str(),
            job.state.as_str(),
            format!("{}/{}", job.attempts, job.max_attempts),
            iso_time(job.run_at),
        );
        if !job.error.is_empty() {
            let error: String = job.error.chars().take(SHOWN_CHARS).collect();
            let _ = write!(text, "\n    {error}");
        }
    }
    if page.next.is_some() {
        text.push_str("\nthere are more: see --limit");
    }
    Ok(text)
}
