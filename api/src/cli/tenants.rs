//! `tintype cloud`, `tintype key` and `tintype provision-key`: clouds and their keys, with or without a running server.

use super::{configured, load, print, runtime};
use crate::app;
use crate::config::Config;
use crate::demo;
use crate::domain::{ApiKey, Cloud};
use crate::service::call::ApiError;
use crate::service::library::{CloudSettings, FolderMode};
use crate::service::provisioning::Account;
use crate::service::tenants::{NamedKey, Tenants, cloud_name};
use clap::{Arg, ArgAction, ArgMatches, Command};

const SETTINGS: &str = "Any of: folder_mode=fixed|dynamic, strict_transformations=true|false, backup=true|false, \
     notification_urls=URL,URL, max_storage_bytes=N, max_assets=N, auth_token_key=HEX; nothing behind = means no limit, or none";

pub(super) fn commands() -> [Command; 3] {
    let cloud = || Arg::new("cloud-name").value_name("CLOUD").required(true).help("Name or id of the cloud");
    let key = || Arg::new("key-id").value_name("KEY").required(true).help("The API key, as clients send it");
    let force = |help: &'static str| Arg::new("by-force").long("force").action(ArgAction::SetTrue).help(help);
    let label = || Arg::new("key-label").long("name").value_name("TEXT").default_value("").help("What people call it");
    let last = "Also where it is the last enabled key";
    let group = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).subcommand_required(true).arg_required_else_help(true)
    };
    [
        group("cloud", "List, create, rename, delete and set up clouds")
            .subcommand(configured("list", "List clouds with their settings"))
            .subcommand(configured("create", "Create a cloud with a first key").arg(cloud()))
            .subcommand(
                configured("rename", "Give a cloud another name")
                    .arg(cloud())
                    .arg(Arg::new("new-name").value_name("NEW").required(true).help("The new name")),
            )
            .subcommand(
                configured("delete", "Delete a cloud with everything in it")
                    .arg(cloud())
                    .arg(force("Also with 50 assets or more")),
            )
            .subcommand(
                configured("set", "Change settings of a cloud")
                    .arg(cloud())
                    .arg(Arg::new("assignments").value_name("NAME=VALUE").required(true).num_args(1..).help(SETTINGS)),
            ),
        group("key", "List, create, switch, delete and rotate API keys")
            .subcommand(configured("list", "List the keys of a cloud").arg(cloud()))
            .subcommand(configured("create", "Create one more key").arg(cloud()).arg(label()))
            .subcommand(configured("enable", "Switch a key on").arg(cloud()).arg(key()))
            .subcommand(configured("disable", "Switch a key off").arg(cloud()).arg(key()).arg(force(last)))
            .subcommand(configured("delete", "Delete a key").arg(cloud()).arg(key()).arg(force(last)))
            .subcommand(
                configured("rotate", "Create a key to follow another, which goes on working until it is disabled")
                    .arg(cloud())
                    .arg(key()),
            ),
        configured("provision-key", "Make a key for the provisioning API")
            .arg(Arg::new("revoke-key").long("revoke").value_name("KEY").help("Take this key away instead"))
            .arg(Arg::new("list-keys").long("list").action(ArgAction::SetTrue).help("List the keys instead")),
    ]
}

fn word<'a>(arguments: &'a ArgMatches, name: &str) -> &'a str {
    arguments.get_one::<String>(name).map_or("", String::as_str)
}

/// Runs one of [`commands`].
pub(super) fn run(command: &str, arguments: &ArgMatches) -> Result<(), String> {
    let (action, flags) = arguments.subcommand().unwrap_or(("", arguments));
    let config = load(flags)?;
    let lines = runtime()?.block_on(async {
        std::fs::create_dir_all(&config.data_dir).map_err(|error| error.to_string())?;
        let records = app::open_records(&config).await.map_err(|error| error.to_string())?;
        let tenants = Tenants { catalog: records.catalog, library: records.library };
        let answered = match command {
            "cloud" => clouds(&tenants, &config, action, flags).await,
            "key" => keys(&tenants, &config, action, flags).await,
            _ => provision(&tenants, &config, flags).await,
        };
        answered.map_err(|error| error.to_string())
    })?;
    print(&lines.join("\n"));
    Ok(())
}

async fn find(tenants: &Tenants, flags: &ArgMatches) -> Result<Cloud, ApiError> {
    let text = word(flags, "cloud-name");
    tenants.find(text).await?.ok_or_else(|| ApiError::NotFound(format!("there is no cloud {text}")))
}

fn sdk_url(config: &Config, cloud: &Cloud, key: &ApiKey) -> String {
    format!("CLOUDINARY_URL={}", demo::sdk_url(cloud, key, &config.http.public_base_url))
}

async fn clouds(tenants: &Tenants, config: &Config, action: &str, flags: &ArgMatches) -> Result<Vec<String>, ApiError> {
    match action {
        "create" => {
            let cloud = tenants.create(cloud_name(word(flags, "cloud-name"))?, &CloudSettings::default()).await?;
            let keys = tenants.catalog.api_keys(&cloud.id).await?;
            let urls = keys.iter().map(|key| sdk_url(config, &cloud, key));
            Ok(std::iter::once(format!("created cloud {} ({})", cloud.name, cloud.id)).chain(urls).collect())
        }
        "rename" => {
            let cloud = find(tenants, flags).await?;
            let renamed = tenants.rename(&cloud, cloud_name(word(flags, "new-name"))?).await?;
            Ok(vec![format!("cloud {} is now {} ({})", cloud.name, renamed.name, cloud.id)])
        }
        "delete" => {
            let cloud = find(tenants, flags).await?;
            let blobs = tenants.delete(&cloud, flags.get_flag("by-force")).await?.len();
            Ok(vec![format!("deleted cloud {}; a running server deletes its {blobs} files", cloud.name)])
        }
        "set" => {
            let cloud = find(tenants, flags).await?;
            let mut settings = CloudSettings::load(&*tenants.catalog, &cloud.id).await?;
            for assignment in flags.get_many::<String>("assignments").unwrap_or_default() {
                assign(&mut settings, assignment).map_err(ApiError::BadRequest)?;
            }
            settings.save(&*tenants.catalog, &cloud.id).await?;
            Ok(vec![described(&cloud, &settings)])
        }
        _ => {
            let mut lines = Vec::new();
            for cloud in tenants.catalog.clouds().await? {
                lines.push(described(&cloud, &CloudSettings::load(&*tenants.catalog, &cloud.id).await?));
            }
            Ok(lines)
        }
    }
}

fn described(cloud: &Cloud, settings: &CloudSettings) -> String {
    let limit = |limit: Option<u64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
    format!(
        "{} ({}): folder_mode={} strict_transformations={} backup={} notification_urls={} max_storage_bytes={} \
         max_assets={} auth_token_key={}",
        cloud.name,
        cloud.id,
        settings.folder_mode.as_str(),
        settings.strict_transformations,
        settings.backup,
        settings.notification_urls.join(","),
        limit(settings.max_storage_bytes),
        limit(settings.max_assets),
        if settings.auth_token_key.is_some() { "(set)" } else { "" },
    )
}

/// Takes over `NAME=VALUE`.
fn assign(settings: &mut CloudSettings, assignment: &str) -> Result<(), String> {
    let (name, value) = assignment.split_once('=').ok_or_else(|| format!("{assignment}: write NAME=VALUE"))?;
    let wrong = |wanted: &str| format!("{name}={value}: the value is {wanted}");
    let flag = || value.parse::<bool>().map_err(|_| wrong("true or false"));
    let limit = || match value {
        "" => Ok(None),
        value => value.parse::<u64>().map(Some).map_err(|_| wrong("a whole number, or nothing for no limit")),
    };
    match name {
        "folder_mode" => {
            settings.folder_mode = match value {
                "fixed" => FolderMode::Fixed,
                "dynamic" => FolderMode::Dynamic,
                _ => return Err(wrong("fixed or dynamic")),
            }
        }
        "strict_transformations" => settings.strict_transformations = flag()?,
        "backup" => settings.backup = flag()?,
        "notification_urls" => {
            let urls: Vec<String> = value.split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect();
            if !urls.iter().all(|url| url.starts_with("http://") || url.starts_with("https://")) {
                return Err(wrong("addresses that begin with http:// or https://, divided by commas"));
            }
            settings.notification_urls = urls;
        }
        "max_storage_bytes" => settings.max_storage_bytes = limit()?,
        "max_assets" => settings.max_assets = limit()?,
        "auth_token_key" => {
            let well_formed = value.len() % 2 == 0 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !well_formed {
                return Err(wrong("an even number of hexadecimal digits, or nothing"));
            }
            settings.auth_token_key = Some(value.to_owned()).filter(|key| !key.is_empty());
        }
        _ => return Err(format!("{name} is no setting of a cloud. {SETTINGS}")),
    }
    Ok(())
}

async fn keys(tenants: &Tenants, config: &Config, action: &str, flags: &ArgMatches) -> Result<Vec<String>, ApiError> {
    let cloud = find(tenants, flags).await?;
    let state = |key: &NamedKey| {
        let state = if key.key.enabled { "enabled" } else { "disabled" };
        format!("{} {state} {}", key.key.key, key.name).trim_end().to_owned()
    };
    let force = || flags.get_flag("by-force");
    match action {
        "create" => {
            let key = tenants.create_key(&cloud, word(flags, "key-label"), true).await?;
            Ok(vec![sdk_url(config, &cloud, &key.key)])
        }
        "enable" => Ok(vec![state(&tenants.update_key(&cloud, word(flags, "key-id"), Some(true), None, false).await?)]),
        "disable" => {
            Ok(vec![state(&tenants.update_key(&cloud, word(flags, "key-id"), Some(false), None, force()).await?)])
        }
        "delete" => {
            tenants.delete_key(&cloud, word(flags, "key-id"), force()).await?;
            Ok(vec![format!("deleted key {}", word(flags, "key-id"))])
        }
        "rotate" => {
            let old = word(flags, "key-id");
            // Says so when there is no such key.
            let known = tenants.update_key(&cloud, old, None, None, false).await?;
            let key = tenants.create_key(&cloud, &known.name, true).await?;
            let then = format!("{old} goes on working. When nobody uses it: tintype key disable {} {old}", cloud.name);
            Ok(vec![sdk_url(config, &cloud, &key.key), then])
        }
        _ => Ok(tenants.keys(&cloud).await?.iter().map(state).collect()),
    }
}

async fn provision(tenants: &Tenants, config: &Config, flags: &ArgMatches) -> Result<Vec<String>, ApiError> {
    let catalog = &*tenants.catalog;
    if flags.get_flag("list-keys") {
        let account = Account::load(catalog).await?;
        return Ok(account.iter().flat_map(Account::keys).map(str::to_owned).collect());
    }
    if let Some(key) = flags.get_one::<String>("revoke-key") {
        return match Account::revoke_key(catalog, key).await? {
            true => Ok(vec![format!("revoked {key}")]),
            false => Err(ApiError::NotFound(format!("there is no provisioning key {key}"))),
        };
    }
    let (account, key, secret) = Account::add_key(catalog).await?;
    let base = &config.http.public_base_url;
    Ok(vec![
        format!("CLOUDINARY_ACCOUNT_URL=account://{key}:{}@{account}", secret.expose()),
        format!("The secret is not shown again. Point the SDK at this server with upload_prefix={base}."),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_are_assigned_by_name() {
        let mut settings = CloudSettings::default();
        for assignment in
            ["folder_mode=fixed", "backup=true", "notification_urls=https://a/,http://b/?c=d", "max_assets=7"]
        {
            assign(&mut settings, assignment).unwrap();
        }
        assert_eq!((settings.folder_mode, settings.backup, settings.max_assets), (FolderMode::Fixed, true, Some(7)));
        assert_eq!(settings.notification_urls, ["https://a/", "http://b/?c=d"]);
        assign(&mut settings, "max_assets=").unwrap();
        assert_eq!(settings.max_assets, None);
        for wrong in ["backup", "backup=yes", "folder_mode=", "notification_urls=ftp://x", "max_assets=-1", "x=1"] {
            assert!(assign(&mut settings, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_commands_are_consistent() {
        super::super::command().debug_assert();
    }
}
