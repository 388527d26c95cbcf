//! Upload mappings: an asset that is not there, below a folder that stands for another place, is fetched from that place
//! when it is first asked for, and is an upload like any other from then on (api.md 4.8).

use super::deliver_types::DeliveryError;
use super::library::LibraryService;
use super::upload::{FileSource, UploadError, UploadRequest, UploadService};
use crate::auth::basic::basic_header;
use crate::domain::{AssetKey, Cloud, DeliveryType, PublicId, ResourceType};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::language::Address;
use tokio::sync::watch;

/// How long a place is not asked again for what it did not give.
const REMEMBER: Duration = Duration::from_secs(10);
/// Most failures that are remembered.
const MOST_FAILURES: usize = 4096;
/// Most folders above an asset that are looked at, the innermost first.
const MOST_FOLDERS: usize = 32;

type Outcome = Result<(), DeliveryError>;

/// What is to be fetched, and what it will be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    key: AssetKey,
    address: String,
}

/// Fetches what mappings lead to, each thing once at a time. Clones share what they know.
#[derive(Clone)]
pub struct Mapped {
    library: LibraryService,
    uploads: UploadService,
    flights: Arc<Mutex<HashMap<Wanted, watch::Receiver<Option<Outcome>>>>>,
    failures: Arc<Mutex<HashMap<Wanted, (Instant, DeliveryError)>>>,
}

impl Mapped {
    pub fn new(library: LibraryService, uploads: UploadService) -> Self {
        Mapped { library, uploads, flights: Arc::default(), failures: Arc::default() }
    }

    /// Fetches the missing asset of an address. False when no mapping leads anywhere. The work goes on to its end when
    /// the caller is dropped.
    pub async fn bring(&self, cloud: &Cloud, address: &Address) -> Result<bool, DeliveryError> {
        let Some(wanted) = self.wanted(cloud, address).await? else { return Ok(false) };
        if let Some((at, error)) = self.failures.lock().get(&wanted)
            && at.elapsed() < REMEMBER
        {
            return Err(error.clone());
        }
        let mut flight = {
            let mut flights = self.flights.lock();
            match flights.get(&wanted) {
                // One whose task is gone will never end.
                Some(flight) if flight.has_changed().is_ok() => flight.clone(),
                _ => {
                    let (landed, flight) = watch::channel(None);
                    flights.insert(wanted.clone(), flight.clone());
                    let (this, cloud, wanted) = (self.clone(), cloud.clone(), wanted.clone());
                    tokio::spawn(async move {
                        let outcome = this.fetch(&cloud, &wanted).await;
                        if let Err(error @ (DeliveryError::NotFound(_) | DeliveryError::Remote(_))) = &outcome {
                            this.remember(&wanted, error);
                        }
                        this.flights.lock().remove(&wanted);
                        landed.send_replace(Some(outcome));
                    });
                    flight
                }
            }
        };
        let landed = flight.wait_for(Option::is_some).await;
        let stopped = || DeliveryError::Internal("a fetch stopped".to_owned());
        landed.map_err(|_| stopped())?.clone().ok_or_else(stopped)?.map(|()| true)
    }

    /// Where the innermost mapped folder above the asset leads.
    async fn wanted(&self, cloud: &Cloud, address: &Address) -> Result<Option<Wanted>, DeliveryError> {
        let kind = address.resource_type.to_string().parse::<ResourceType>();
        let delivery_type = address.delivery_type.to_string().parse::<DeliveryType>();
        let (Ok(resource_type), Ok(DeliveryType::Upload)) = (kind, delivery_type) else { return Ok(None) };
        let Ok(public_id) = PublicId::new(&address.public_id) else { return Ok(None) };
        let id = address.public_id.as_str();
        let slashes: Vec<usize> = id.match_indices('/').map(|(at, _)| at).collect();
        let folders: Vec<&str> = slashes.iter().rev().take(MOST_FOLDERS).map(|at| &id[..*at]).collect();
        if folders.is_empty() {
            return Ok(None);
        }
        let Some((folder, template)) = self.library.mapping_above(&cloud.id, &folders).await? else {
            return Ok(None);
        };
        let Some(rest) = id.get(folder.len() + 1..).filter(|rest| stays_below(rest)) else { return Ok(None) };
        let extension = match (&address.extension, resource_type) {
            (Some(extension), ResourceType::Image | ResourceType::Video) => format!(".{extension}"),
            _ => String::new(),
        };
        let key = AssetKey { cloud: cloud.id.clone(), resource_type, delivery_type: DeliveryType::Upload, public_id };
        Ok(Some(Wanted { key, address: format!("{template}{}", encoded(&format!("{rest}{extension}"))) }))
    }

    async fn fetch(&self, cloud: &Cloud, wanted: &Wanted) -> Outcome {
        let catalog = &self.library.parts().catalog;
        // Somebody may have been faster.
        if catalog.asset(&wanted.key).await?.is_some() {
            return Ok(());
        }
        let keys = catalog.api_keys(&cloud.id).await?;
        let Some(key) = keys.into_iter().find(|key| key.enabled) else {
            return Err(DeliveryError::NotFound(wanted.key.public_id.to_string()));
        };
        let param = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = UploadRequest {
            cloud: cloud.name.to_string(),
            kind: wanted.key.resource_type.into(),
            authorization: Some(basic_header(&key.key, key.secret.expose())),
            // What another node stored meanwhile stays.
            params: vec![param("public_id", wanted.key.public_id.as_str()), param("overwrite", "false")],
            file: Some(FileSource::Remote(wanted.address.clone())),
            part: None,
        };
        self.uploads.upload(request).await.map(|_| ()).map_err(refused)
    }

    fn remember(&self, wanted: &Wanted, error: &DeliveryError) {
        let mut failures = self.failures.lock();
        if failures.len() >= MOST_FAILURES {
            failures.retain(|_, (at, _)| at.elapsed() < REMEMBER);
        }
        if failures.len() >= MOST_FAILURES {
            failures.clear();
        }
        failures.insert(wanted.clone(), (Instant::now(), error.clone()));
    }
}

/// What a client is told of an upload that nobody but its request asked for.
fn refused(error: UploadError) -> DeliveryError {
    match error {
        UploadError::Busy { retry_after } => DeliveryError::Busy { retry_after },
        UploadError::Fetch(crate::fetch::FetchError::Busy) => {
            DeliveryError::Busy { retry_after: Duration::from_secs(2) }
        }
        UploadError::Catalog(error) => error.into(),
        UploadError::Storage(error) => error.into(),
        error @ UploadError::Internal(_) => DeliveryError::Internal(error.to_string()),
        other => DeliveryError::Remote(other.to_string()),
    }
}

/// Whether a path leads nowhere but below where it begins.
fn stays_below(rest: &str) -> bool {
    !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// What means nothing but itself in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A path as a part of an address: whatever could mean anything but itself is percent-encoded.
fn encoded(path: &str) -> String {
    utf8_percent_encode(path, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_neither_climb_nor_become_queries() {
        assert!(stays_below("a/b.jpg") && stays_below("..a"));
        for bad in ["", "../a", "a/../b", "a//b", "./a", "a/.."] {
            assert!(!stays_below(bad), "{bad}");
        }
        assert_eq!(encoded("ä b/c?d#e%2e&f@g:h.jpg"), "%C3%A4%20b/c%3Fd%23e%252e%26f%40g%3Ah.jpg");
    }
}
