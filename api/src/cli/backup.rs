//! `tintype backup` and `tintype restore`.

use super::verify::sentence;
use super::{configured, load, print, runtime, start_log};
use crate::app::{Stores, open_records, open_store, open_stores};
use crate::catalog;
use crate::config::{Config, secret_key};
use crate::storage::GuardedStore;
use crate::upkeep::{
    BackupOptions, BackupReport, Finding, Manifest, RestoreOptions, RestoreReport, back_up, choose,
    restore as bring_back,
};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;

pub(super) fn backup_command() -> Command {
    configured("backup", "Write the library into a folder: its rows and the files of originals and kept versions")
        .long_about(
            "Write the library into a folder: its rows and the files of originals and kept versions, each checked by its \
             MD5. What is there from an earlier backup is not copied again. Servers may go on running. Derived pictures, \
             jobs and unfinished uploads are left out. API secrets stay sealed by the secret key, which is not in the \
             backup: keep a copy of it elsewhere.",
        )
        .arg(folder("Where the backup lies, a folder of its own"))
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("COUNT")
                .value_parser(value_parser!(u16).range(1..))
                .help("Remove all but the newest backups from the folder; without it all are kept"),
        )
        .arg(concurrency())
        .arg(json())
}

pub(super) fn restore_command() -> Command {
    configured(
        "restore",
        "Bring a library back from a folder that `tintype backup` wrote, also into the other database",
    )
    .long_about(
        "Bring a library back from a folder that `tintype backup` wrote, also into the other database or another \
             storage. It needs the secret key of the server that was backed up. Run again, it goes on where it ended.",
    )
    .arg(folder("The folder of the backup"))
    .arg(Arg::new("snapshot").long("snapshot").value_name("NAME").help("Which backup; the newest without it"))
    .arg(Arg::new("force").long("force").action(ArgAction::SetTrue).help(
        "Also into a catalog that has clouds: what it lacks is added, the rest stays as it is; stop the servers first",
    ))
    .arg(concurrency())
    .arg(json())
}

fn folder(help: &'static str) -> Arg {
    Arg::new("folder").required(true).value_name("FOLDER").value_parser(value_parser!(PathBuf)).help(help)
}

fn concurrency() -> Arg {
    Arg::new("concurrency")
        .long("concurrency")
        .default_value("8")
        .value_parser(value_parser!(u16).range(1..=256))
        .help("Files on their way at once")
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("One JSON object a line for each file that is lost, then one with the totals")
}

fn teller(json: bool) -> impl FnMut(Finding) + Send {
    move |finding| {
        print(&if json { serde_json::to_string(&finding).unwrap_or_default() } else { sentence(&finding) });
    }
}

fn at_once(flags: &ArgMatches) -> usize {
    flags.get_one::<u16>("concurrency").copied().unwrap_or(8).into()
}

fn path(flags: &ArgMatches) -> PathBuf {
    flags.get_one::<PathBuf>("folder").cloned().unwrap_or_default()
}

pub(super) fn backup(flags: &ArgMatches) -> Result<(), String> {
    let config = load(flags)?;
    start_log(&config.log)?;
    let (folder, json) = (path(flags), flags.get_flag("json"));
    let keep = flags.get_one::<u16>("keep").map(|keep| usize::from(*keep));
    let options = BackupOptions { concurrency: at_once(flags), keep };
    let report: BackupReport = runtime()?.block_on(async {
        let records = open_records(&config).await.map_err(|error| error.to_string())?;
        let Stores { blobs, copies } = open_stores(&config).await.map_err(|error| error.to_string())?;
        // What the first store has lost may be in the second.
        let blobs = GuardedStore::new(blobs, copies);
        back_up(&*records.catalog, &records.library, &blobs, &folder, options, &mut teller(json))
            .await
            .map_err(|error| error.to_string())
    })?;
    if json {
        print(&serde_json::json!({ "totals": report }).to_string());
    } else {
        let rows: u64 = report.rows.values().sum();
        print(&format!(
            "backup {}: {rows} rows; {} files copied ({} bytes), {} were there, {} went meanwhile, {} are lost or damaged",
            report.snapshot, report.copied, report.copied_bytes, report.present, report.gone, report.lost
        ));
        if keep.is_some() {
            print(&format!("removed {} older backups and {} files", report.snapshots_removed, report.blobs_removed));
        }
        print(&format!("the secret key {} is not in it: keep a copy elsewhere", config.secret_key_file.display()));
    }
    match report.lost {
        0 => Ok(()),
        lost => Err(format!("the backup is complete but for {lost} files that are lost or damaged")),
    }
}

pub(super) fn restore(flags: &ArgMatches) -> Result<(), String> {
    let config = load(flags)?;
    start_log(&config.log)?;
    let (folder, json) = (path(flags), flags.get_flag("json"));
    let options = RestoreOptions { force: flags.get_flag("force"), concurrency: at_once(flags) };
    let name = flags.get_one::<String>("snapshot").map(String::as_str);
    let (snapshot, manifest) = choose(&folder, name).map_err(|error| error.to_string())?;
    check_key(&config, &manifest)?;
    let report: RestoreReport = runtime()?.block_on(async {
        let records = open_records(&config).await.map_err(|error| error.to_string())?;
        let blobs = open_store(&config).await.map_err(|error| error.to_string())?;
        bring_back(&folder, &snapshot, &*records.catalog, &records.library, &*blobs, options, &mut teller(json))
            .await
            .map_err(|error| error.to_string())
    })?;
    if json {
        print(&serde_json::json!({ "totals": report }).to_string());
    } else {
        print(&format!("{:<16} {:>12} {:>12} {:>12}", "rows", "restored", "here before", "left out"));
        for (table, rows) in &report.rows {
            print(&format!("{table:<16} {:>12} {:>12} {:>12}", rows.inserted, rows.present, rows.left_out));
        }
        print(&format!(
            "backup {}: {} files copied ({} bytes), {} were there, {} are not in the backup, {} are damaged there",
            report.snapshot, report.copied, report.copied_bytes, report.present, report.absent, report.lost
        ));
    }
    match report.lost {
        0 => Ok(()),
        lost => Err(format!("{lost} files of the backup are lost or damaged; their originals were left out")),
    }
}

/// The key must be there and the right one before a catalog is made with it.
fn check_key(config: &Config, manifest: &Manifest) -> Result<(), String> {
    let path = config.secret_key_file.display();
    if !config.secret_key_file.exists() {
        return Err(format!("{path} is missing: put the secret key of the server that was backed up there first"));
    }
    let key = secret_key::load_or_create(&config.secret_key_file).map_err(|error| error.to_string())?;
    let check =
        hex::decode(&manifest.key_check).map_err(|_| "the backup does not say which key it needs".to_owned())?;
    catalog::fits(&key, &check)
        .map_err(|_| format!("{path} is not the secret key of the server that was backed up: put that one there"))
}
