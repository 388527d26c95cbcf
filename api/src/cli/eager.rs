//! `tintype eager`: a batch of eager pictures, and how far it is.

use super::jobs::find_cloud;
use super::{configured, load, print, runtime};
use crate::app;
use crate::config::Config;
use crate::domain::{CloudId, Job, JobId, JobState, Timestamp};
use crate::jobs::batch::{Batch, BatchProgress, BatchSelection};
use crate::search;
use crate::service::library::folder_path;
use crate::service::params;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use std::time::Duration;
use tintype_render::language;

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The command.
pub fn command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    configured("eager", "Render transformations of many images before anybody asks for them")
        .arg(text("cloud", "Name of the cloud").required(true))
        .arg(
            text("transformation", "As in `eager` of an upload, such as c_fill,w_300/webp")
                .short('t')
                .required(true)
                .action(ArgAction::Append),
        )
        .arg(text("prefix", "Images whose public id begins like this"))
        .arg(text("tag", "Images with this tag"))
        .arg(text("folder", "Images in this asset folder, or below it"))
        .arg(text("expression", "Images that a search finds, such as tags=lake AND width>1000"))
        .arg(text("all", "All images").action(ArgAction::SetTrue))
        .group(ArgGroup::new("which").args(["prefix", "tag", "folder", "expression", "all"]).required(true))
        .arg(text("detach", "Do not wait until it is done").action(ArgAction::SetTrue))
}

/// Runs the command. The work is done by a server or a worker on the same catalog.
pub fn eager(flags: &ArgMatches) -> Result<(), String> {
    let config = load(flags)?;
    let transformations: Vec<String> =
        flags.get_many::<String>("transformation").into_iter().flatten().cloned().collect();
    let entries = params::parse_eager(&transformations.join("|")).map_err(|error| error.to_string())?;
    // What named transformations mean is found when they are rendered.
    let named = |text: &str| text.split(['/', ',']).any(|part| part.starts_with("t_"));
    for entry in entries.iter().filter(|entry| !named(&entry.transformation)) {
        language::parse(&entry.transformation, &app::limits(&config)).map_err(|error| error.to_string())?;
    }
    let value = |name: &str| flags.get_one::<String>(name).cloned();
    let selection = match (value("prefix"), value("tag"), value("folder"), value("expression")) {
        (Some(prefix), _, _, _) => BatchSelection::Prefix(prefix),
        (_, Some(tag), _, _) => BatchSelection::Tag(tag),
        (_, _, Some(folder), _) => BatchSelection::Folder(folder_path(&folder).map_err(|error| error.to_string())?),
        (_, _, _, Some(expression)) => {
            search::parse(&expression).map_err(|error| error.to_string())?;
            BatchSelection::Expression(expression)
        }
        _ => BatchSelection::All,
    };
    let batch = Batch { transformations: entries.into_iter().map(|entry| entry.given).collect(), selection };
    let (cloud, detach) = (value("cloud").unwrap_or_default(), flags.get_flag("detach"));
    runtime()?.block_on(run(&config, &cloud, &batch, detach))
}

async fn run(config: &Config, cloud: &str, batch: &Batch, detach: bool) -> Result<(), String> {
    let records = app::open_records(config).await.map_err(|error| error.to_string())?;
    let cloud = find_cloud(&records, cloud).await?.id;
    let now = Timestamp::now();
    let enqueued = records.library.enqueue_jobs(vec![batch.job(&cloud, now)], now).await;
    let enqueued = enqueued.map_err(|error| error.to_string())?;
    let Some(enqueued) = enqueued.first() else { return Err("the batch got no job".to_owned()) };
    let verb = if enqueued.fresh { "was begun" } else { "is under way already" };
    print(&format!("batch {} {verb}", enqueued.id));
    if detach {
        return Ok(());
    }
    watch(&records.library, &cloud, &enqueued.id).await
}

/// Prints what changes until the batch is done.
async fn watch(library: &crate::catalog::library::Library, cloud: &CloudId, id: &JobId) -> Result<(), String> {
    let mut shown = String::new();
    loop {
        let found = library.job(cloud, id).await.map_err(|error| error.to_string())?;
        let Some(job) = found else { return Err("the batch was dropped".to_owned()) };
        let line = line(&job);
        if line != shown {
            print(&line);
            shown = line;
        }
        match job.state {
            JobState::Dead => return Err(format!("the batch failed: {}", job.error)),
            JobState::Done => return report(&BatchProgress::of(&job)),
            JobState::Waiting | JobState::Running => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn line(job: &Job) -> String {
    let progress = BatchProgress::of(job);
    let counts = format!(
        "{} images: {} pictures done, {} failed, {} skipped, {:.1}/s",
        progress.assets,
        progress.done,
        progress.failed,
        progress.skipped,
        progress.rate()
    );
    match job.state {
        JobState::Waiting if job.error.is_empty() => "waiting for a server or a worker (tintype worker)".to_owned(),
        JobState::Waiting => format!("{counts}; to be tried again: {}", job.error),
        _ => counts,
    }
}

fn report(progress: &BatchProgress) -> Result<(), String> {
    for error in &progress.errors {
        print(&format!("{}: {}: {}", error.public_id, error.transformation, error.reason));
    }
    if progress.failed == 0 { Ok(()) } else { Err(format!("{} pictures failed", progress.failed)) }
}
