//! What an upload needs of the renderer: inspection, conversion and eager pictures.

use super::deliver_types::DeliveryError;
use super::derive::{DeriveError, Deriver};
use super::meter::Meter;
use super::params::{EagerEntry, EagerExtension};
use super::pictures::{Eager, EagerPicture, PictureError, PictureFacts, Pictures};
use crate::domain::{Asset, Cloud, Orientation, PixelSize};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::language::{self, Format, Transformation};
use tintype_render::pipeline::Request;
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts};
use tintype_render::plan::geometry::Size;
use tintype_render::{Limits, codec};
use tintype_scheduler::{Lane, Scheduler, SourceError, SourceReader, Work, WorkError, WorkKey};

/// Inspects and converts uploads with the renderer, under the scheduler's limits.
pub struct UploadedPictures {
    scheduler: Arc<Scheduler>,
    limits: Limits,
}

impl UploadedPictures {
    pub fn new(scheduler: Arc<Scheduler>, limits: Limits) -> Self {
        UploadedPictures { scheduler, limits }
    }
}

#[async_trait]
impl Pictures for UploadedPictures {
    async fn inspect(&self, bytes: Bytes) -> Result<PictureFacts, PictureError> {
        let limits = self.limits.clone();
        let found = tokio::task::spawn_blocking(move || codec::verify(&bytes, &limits))
            .await
            .map_err(|error| PictureError::Internal(format!("the inspection stopped: {error}")))??;
        let orientation = u8::try_from(found.orientation.to_exif()).unwrap_or(1);
        Ok(PictureFacts {
            format: found.format,
            stored_size: PixelSize { width: found.size.width, height: found.size.height },
            orientation: Orientation::new(orientation).unwrap_or(Orientation::UPRIGHT),
            has_alpha: found.has_alpha,
        })
    }

    async fn convert(&self, bytes: Bytes, format: Format) -> Result<Bytes, PictureError> {
        let facts = self.inspect(bytes.clone()).await?;
        let base = SourceFacts {
            size: Size::new(facts.stored_size.width, facts.stored_size.height),
            orientation: tintype_render::plan::geometry::Orientation::from_exif(facts.orientation.get().into()),
            format: facts.format,
            has_alpha: facts.has_alpha,
            faces: None,
            custom: vec![],
        };
        let work = Work {
            key: WorkKey::new(rand::random()),
            lane: Lane::Interactive,
            request: Request {
                transformation: Arc::new(Transformation::default()),
                facts: Facts { base, layers: Default::default() },
                purpose: Purpose { extension: Some(format), ..Purpose::default() },
            },
            sources: Arc::new(OneFile(bytes)),
            deadline: None,
        };
        match self.scheduler.submit(work).await {
            Ok(rendered) => Ok(rendered.picture.bytes.clone()),
            Err(WorkError::Busy | WorkError::Expired) => Err(PictureError::Busy),
            Err(WorkError::Render(error)) => Err(PictureError::Render(error)),
            Err(other) => Err(PictureError::Internal(other.to_string())),
        }
    }
}

/// A file that is in memory already.
struct OneFile(Bytes);

#[async_trait]
impl SourceReader for OneFile {
    async fn read(&self, _source: &Option<String>) -> Result<Bytes, SourceError> {
        Ok(self.0.clone())
    }
}

/// Renders eager pictures into the same store that delivery reads.
pub struct EagerRenderer {
    deriver: Arc<Deriver>,
    meter: Arc<Meter>,
    retry_after: Duration,
}

impl EagerRenderer {
    pub fn new(deriver: Arc<Deriver>, meter: Arc<Meter>, retry_after: Duration) -> Self {
        EagerRenderer { deriver, meter, retry_after }
    }

    async fn one(&self, cloud: &Cloud, asset: &Asset, entry: &EagerEntry) -> Result<EagerPicture, DeliveryError> {
        let transformation = Arc::new(language::parse(&entry.transformation, self.deriver.limits())?);
        let extension = match entry.extension {
            EagerExtension::Named(format) => Some(format),
            EagerExtension::Original | EagerExtension::None => Format::from_extension(&asset.format),
        };
        if Deriver::is_original(&transformation, asset, extension) {
            return Ok(EagerPicture {
                width: asset.upright_size.width,
                height: asset.upright_size.height,
                bytes: asset.bytes,
                format: asset.format.clone(),
            });
        }
        let purpose = Purpose { extension, ..Purpose::default() };
        let picture = self.deriver.derive(asset, transformation, purpose, Lane::Eager, true).await.map_err(
            |error| match error {
                DeriveError::Render(error) => DeliveryError::Render(error),
                DeriveError::Busy | DeriveError::ShuttingDown => DeliveryError::Busy { retry_after: self.retry_after },
                other => DeliveryError::Internal(other.to_string()),
            },
        )?;
        if picture.counts {
            self.meter.transformed(&cloud.id);
        }
        Ok(EagerPicture {
            width: picture.size.width,
            height: picture.size.height,
            bytes: picture.bytes.len() as u64,
            format: picture.format.extension().to_owned(),
        })
    }
}

#[async_trait]
impl Eager for EagerRenderer {
    fn check(&self, entry: &EagerEntry) -> Result<(), tintype_render::Error> {
        language::parse(&entry.transformation, self.deriver.limits()).map(|_| ())
    }

    async fn render(
        &self,
        cloud: &Cloud,
        asset: &Asset,
        entries: &[EagerEntry],
    ) -> Vec<Result<EagerPicture, DeliveryError>> {
        futures::future::join_all(entries.iter().map(|entry| self.one(cloud, asset, entry))).await
    }
}
