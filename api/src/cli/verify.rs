//! `tintype verify`: rows and blobs against each other.

use super::{configured, load, print, runtime, start_log};
use crate::app::{Records, open_records, open_stores};
use crate::config::Config;
use crate::upkeep::{Finding, Problem, Totals, Verifier, VerifyOptions};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::time::Duration;

pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    configured("verify", "Compare the catalog with the stored files, and clean up after a crash")
        .long_about(
            "Compare the catalog with the stored files: rows whose file is lost or has another length, files that no row \
             names, and files that wait for their deletion. Nothing is changed without --repair or --drop-missing. Servers \
             may go on running. With a second store (backup) also which originals and kept versions have no good copy there; \
             --repair makes the missing copies, which a library that had no second store before needs once, and brings lost \
             and damaged originals back from theirs. Fails when an original or a kept version is lost or damaged, or has no \
             good copy.",
        )
        .arg(flag("deep", "Read every file and compare its MD5, not only its length"))
        .arg(flag(
            "repair",
            "Delete files that no row names, and rows of derived pictures whose file is lost or damaged; copy originals to \
             the second store and back",
        ))
        .arg(flag(
            "drop-missing",
            "Also remove originals, kept versions and parts of uploads whose file is lost; they cannot be brought back",
        ))
        .arg(flag("all-orphans", "Delete files without rows also when they are more than those with rows"))
        .arg(flag("all-missing", "Remove rows without files also when they are more than those with files"))
        .arg(
            Arg::new("grace")
                .long("grace")
                .value_name("HOURS")
                .default_value("24")
                .value_parser(value_parser!(u32))
                .help(
                    "Files without rows that are younger belong to an upload that is still on its way; 0 only while no \
                     server runs",
                ),
        )
        .arg(
            Arg::new("concurrency")
                .long("concurrency")
                .default_value("16")
                .value_parser(value_parser!(u16).range(1..=256))
                .help("Files that are looked at at once"),
        )
        .arg(flag("json", "One JSON object a line for each finding, then one with the totals"))
}

pub(super) fn verify(flags: &ArgMatches) -> Result<(), String> {
    let config = load(flags)?;
    start_log(&config.log)?;
    let hours = flags.get_one::<u32>("grace").copied().unwrap_or(24);
    let options = VerifyOptions {
        deep: flags.get_flag("deep"),
        repair: flags.get_flag("repair"),
        drop_missing: flags.get_flag("drop-missing"),
        all_orphans: flags.get_flag("all-orphans"),
        all_missing: flags.get_flag("all-missing"),
        grace: Duration::from_secs(u64::from(hours) * 3600),
        concurrency: flags.get_one::<u16>("concurrency").copied().unwrap_or(16).into(),
    };
    let json = flags.get_flag("json");
    let totals = runtime()?.block_on(run(&config, options, json))?;
    if json {
        print(&serde_json::json!({ "totals": totals }).to_string());
    } else {
        print(&table(&totals));
    }
    match totals.lost() {
        _ if totals.too_many_missing => Err(
            "most rows have no file, and none was removed: is this the storage of this catalog, and is it mounted? \
             --all-missing removes them"
                .to_owned(),
        ),
        0 if totals.too_many_orphans => {
            Err("most files have no row: is this the catalog of this storage? --all-orphans deletes them".to_owned())
        }
        0 => match totals.copies.map_or(0, |copies| copies.lacking()) {
            0 => Ok(()),
            lacking => Err(format!("{lacking} originals or kept versions have no good copy; --repair makes them")),
        },
        lost => Err(match totals.restorable() {
            0 => format!("{lost} originals or kept versions are lost or damaged"),
            restorable => format!(
                "{lost} originals or kept versions are lost or damaged; {restorable} of them have a good copy, and --repair \
                 brings those back"
            ),
        }),
    }
}

async fn run(config: &Config, options: VerifyOptions, json: bool) -> Result<Totals, String> {
    let records = open_records(config).await.map_err(|error| error.to_string())?;
    let stores = open_stores(config).await.map_err(|error| error.to_string())?;
    let Records { catalog, library } = records;
    let verifier = Verifier { catalog, library, blobs: stores.blobs, copies: stores.copies };
    let mut tell = |finding: Finding| {
        // A finding is made of texts and numbers, which always have a JSON form.
        print(&if json { serde_json::to_string(&finding).unwrap_or_default() } else { sentence(&finding) });
    };
    verifier.run(options, &mut tell).await.map_err(|error| error.to_string())
}

pub(super) fn sentence(finding: &Finding) -> String {
    let Finding { problem, of, cloud, name, blob, removed, mended } = finding;
    let what = if name.is_empty() { format!("{of} {blob}") } else { format!("{of} {cloud}/{name} (blob {blob})") };
    let problem = match problem {
        Problem::Missing => "its file is lost".to_owned(),
        Problem::Damaged { reason } => format!("damaged: {reason}"),
        Problem::Orphan { bytes } => format!("no row names these {bytes} bytes"),
        Problem::NoCopy => "it has no copy".to_owned(),
        Problem::BadCopy { reason } => format!("its copy is damaged: {reason}"),
    };
    let done = match (*removed, *mended) {
        (true, _) => "; removed",
        (false, true) => "; mended",
        (false, false) => "",
    };
    format!("{what}: {problem}{done}")
}

fn table(totals: &Totals) -> String {
    let mut text =
        format!("{:<10} {:>12} {:>18} {:>9} {:>9} {:>9}", "rows", "count", "bytes", "lost", "damaged", "removed");
    for (kind, counts) in &totals.rows {
        text += &format!(
            "\n{kind:<10} {:>12} {:>18} {:>9} {:>9} {:>9}",
            counts.rows, counts.bytes, counts.missing, counts.damaged, counts.removed
        );
    }
    text += &format!(
        "\n\n{} files are stored. {} have no row ({} bytes), of which {} were deleted; {} more may belong to uploads on \
         their way{}.\n{} wait for their deletion, of which {} were deleted.",
        totals.blobs,
        totals.orphans,
        totals.orphan_bytes,
        totals.orphans_removed,
        totals.young,
        match totals.ageless {
            0 => String::new(),
            ageless => format!(", and of {ageless} the storage cannot tell the age"),
        },
        totals.garbage,
        totals.garbage_removed
    );
    if let Some(copies) = &totals.copies {
        text += &format!(
            "\n\n{} copies are stored, {} of them of deleted files. {} originals and kept versions had no copy and {} a \
             damaged one, of which {} were copied now; {} were brought back from their copies. Of {} copies nothing is known; \
             {} of them go like those of deleted files from now on.",
            copies.blobs,
            copies.of_deleted,
            copies.missing,
            copies.damaged,
            copies.copied,
            copies.restored,
            copies.strays,
            copies.strays_noted
        );
    }
    text
}
