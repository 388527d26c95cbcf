//! `tintype sdk`: what points each SDK at this server.

use super::{configured, load, print, runtime};
use crate::app;
use crate::config::Config;
use crate::demo;
use crate::domain::ApiKey;
use crate::recipes::{self, SDKS, Target};
use crate::service::tenants::Tenants;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

pub(super) fn command() -> Command {
    configured("sdk", "Print what points an SDK at this server, as lines for a shell")
        .arg(
            Arg::new("sdk-name")
                .value_name("SDK")
                .value_parser(PossibleValuesParser::new(SDKS.iter().map(|sdk| sdk.name)))
                .help("One client; all of them without it"),
        )
        .arg(Arg::new("of-cloud").long("cloud").value_name("CLOUD").help("Name or id of the cloud [default: demo]"))
        .arg(Arg::new("of-key").long("key").value_name("KEY").help("An API key [default: the first enabled one]"))
        .arg(Arg::new("with-secret").long("with-secret").action(ArgAction::SetTrue).help("Show the secret of the key"))
}

pub(super) fn sdk(arguments: &ArgMatches) -> Result<(), String> {
    let config = load(arguments)?;
    let (cloud, key) = runtime()?.block_on(find(&config, arguments))?;
    let target = Target {
        base: &config.http.public_base_url,
        cloud: &cloud,
        key: &key.key,
        secret: arguments.get_flag("with-secret").then(|| key.secret.expose()),
    };
    let only = arguments.get_one::<String>("sdk-name").and_then(|name| recipes::find(name));
    print(&recipes::text(only, &target));
    Ok(())
}

/// The name of the cloud that is meant, and its key.
async fn find(config: &Config, arguments: &ArgMatches) -> Result<(String, ApiKey), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    std::fs::create_dir_all(&config.data_dir).map_err(|error| text(&error))?;
    let records = app::open_records(config).await.map_err(|error| text(&error))?;
    let tenants = Tenants { catalog: records.catalog, library: records.library };
    let name = arguments.get_one::<String>("of-cloud").map_or(demo::CLOUD, String::as_str);
    let cloud = tenants.find(name).await.map_err(|error| text(&error))?;
    let cloud = cloud.ok_or_else(|| {
        format!(
            "there is no cloud {name}: the first start of `tintype serve` makes one, and so does `tintype cloud create`"
        )
    })?;
    let keys = tenants.catalog.api_keys(&cloud.id).await.map_err(|error| text(&error))?;
    let wanted = arguments.get_one::<String>("of-key");
    let found = keys.into_iter().find(|key| wanted.map_or(key.enabled, |wanted| *wanted == key.key));
    let key = found.ok_or_else(|| match wanted {
        Some(key) => format!("cloud {} has no key {key}", cloud.name),
        None => format!("cloud {} has no enabled key", cloud.name),
    })?;
    Ok((cloud.name.as_str().to_owned(), key))
}
