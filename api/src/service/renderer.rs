//! What an upload needs of the renderer: inspection, conversion and eager pictures.

use super::animate::{self, Animator};
use super::deliver_types::DeliveryError;
use super::derive::{DeriveError, DerivedPicture, Deriver};
use super::meter::Meter;
use super::params::{EagerEntry, EagerExtension};
use super::pictures::{Eager, EagerPicture, MadePicture, PictureError, PictureFacts, Pictures};
use crate::domain::{Asset, Cloud, Orientation, PixelSize, Region};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tintype_render::language::{self, Format, Transformation};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts};
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::{Limits, codec};
use tintype_scheduler::{Lane, Scheduler, SourceError, SourceReader, Work, WorkError, WorkKey};

/// Inspects and converts uploads with the renderer, under the scheduler's limits.
pub struct UploadedPictures {
    scheduler: Arc<Scheduler>,
    animator: Arc<Animator>,
    limits: Limits,
}

impl UploadedPictures {
    pub fn new(scheduler: Arc<Scheduler>, animator: Arc<Animator>, limits: Limits) -> Self {
        UploadedPictures { scheduler, animator, limits }
    }
}

#[async_trait]
impl Pictures for UploadedPictures {
    async fn inspect(&self, bytes: Bytes) -> Result<PictureFacts, PictureError> {
        let limits = self.limits.clone();
        let cost = inspection_bytes(&bytes, &limits)?;
        let task = move || codec::verify(&bytes, &limits);
        let found = self.scheduler.run(Lane::Interactive, cost, task).await.map_err(from_work_error)??;
        let orientation = u8::try_from(found.orientation.to_exif()).unwrap_or(1);
        Ok(PictureFacts {
            format: found.format,
            stored_size: PixelSize { width: found.size.width, height: found.size.height },
            orientation: Orientation::new(orientation).unwrap_or(Orientation::UPRIGHT),
            has_alpha: found.has_alpha,
            pages: found.pages,
        })
    }

    async fn convert(&self, bytes: Bytes, transformation: &str, format: Format) -> Result<Bytes, PictureError> {
        let transformation = language::parse(transformation, &self.limits)?;
        let facts = self.inspect(bytes.clone()).await?;
        let moving = animate::moving(&transformation, facts.pages, Some(format));
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
                transformation: Arc::new(moving.clone().unwrap_or(transformation)),
                facts: Facts { base, layers: Default::default() },
                purpose: Purpose { extension: Some(format), ..Purpose::default() },
            },
            sources: Arc::new(OneFile(bytes)),
            base: None,
            deadline: None,
        };
        if moving.is_some() {
            let made = self.animator.render(work, facts.pages).await.map_err(from_work_error)?;
            return Ok(made.picture.bytes);
        }
        match self.scheduler.submit(work).await {
            Ok(rendered) => Ok(rendered.picture.bytes.clone()),
            Err(error) => Err(from_work_error(error)),
        }
    }
}

fn from_work_error(error: WorkError) -> PictureError {
    match error {
        WorkError::Busy | WorkError::Expired | WorkError::ShuttingDown => PictureError::Busy,
        WorkError::Render(error) => PictureError::Render(error),
        other => PictureError::Internal(other.to_string()),
    }
}

/// Rows that a decoder holds at a time, with room for its own.
const ROWS: u64 = 64;

/// Bytes that looking through a file takes, beside the file: some rows where it is read from top to bottom, else all of it.
fn inspection_bytes(bytes: &[u8], limits: &Limits) -> Result<u64, tintype_render::Error> {
    let found = codec::probe(bytes, limits)?;
    let row = u64::from(found.size.width) * 4;
    // The last byte of a PNG's header says whether its rows are interlaced.
    let is_streamed = match found.format {
        Format::Jpeg => true,
        Format::Png => bytes.get(28) == Some(&0),
        _ => false,
    };
    let pixels =
        if is_streamed { row * ROWS.min(found.size.height.into()) } else { row * u64::from(found.size.height) };
    let demand = Demand { size: found.size, scale: 1.0, region: Rect::whole(found.size) };
    Ok(pixels + pipeline::coefficient_bytes(bytes) + codec::scratch_bytes(&demand, found.format))
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

    /// What an entry asks for: the original as it is, or a picture to be derived from it.
    fn wanted(
        &self,
        asset: &Asset,
        entry: &EagerEntry,
    ) -> Result<Option<(Arc<Transformation>, Purpose)>, DeliveryError> {
        let transformation = Arc::new(language::parse(&entry.expanded, self.deriver.limits())?);
        let extension = match entry.extension {
            EagerExtension::Named(format) => Some(format),
            EagerExtension::Original | EagerExtension::None => Format::from_extension(&asset.format),
        };
        let is_original = Deriver::is_original(&transformation, asset, extension);
        Ok((!is_original).then(|| (transformation, Purpose { extension, ..Purpose::default() })))
    }

    fn refusal(&self, error: DeriveError) -> DeliveryError {
        match error {
            DeriveError::Render(error) => DeliveryError::Render(error),
            DeriveError::Busy | DeriveError::ShuttingDown => DeliveryError::Busy { retry_after: self.retry_after },
            other => other.into(),
        }
    }

    fn derived(
        &self,
        cloud: &Cloud,
        picture: Result<DerivedPicture, DeriveError>,
    ) -> Result<EagerPicture, DeliveryError> {
        let picture = picture.map_err(|error| self.refusal(error))?;
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

fn original(asset: &Asset) -> EagerPicture {
    EagerPicture {
        width: asset.upright_size.width,
        height: asset.upright_size.height,
        bytes: asset.bytes,
        format: asset.format.clone(),
    }
}

#[async_trait]
impl Eager for EagerRenderer {
    fn check(&self, entry: &EagerEntry) -> Result<(), tintype_render::Error> {
        language::parse(&entry.expanded, self.deriver.limits()).map(|_| ())
    }

    async fn render(
        &self,
        cloud: &Cloud,
        asset: &Asset,
        entries: &[EagerEntry],
    ) -> Vec<Result<EagerPicture, DeliveryError>> {
        let wanted: Vec<_> = entries.iter().map(|entry| self.wanted(asset, entry)).collect();
        let pictures = wanted.iter().filter_map(|wanted| wanted.as_ref().ok().cloned().flatten()).collect();
        // All at once, so that they share the decode of the original.
        let mut derived = self.deriver.derive_all(asset, pictures, Lane::Eager, true).await.into_iter();
        let answers = wanted.into_iter().map(|wanted| match wanted? {
            None => Ok(original(asset)),
            Some(_) => match derived.next() {
                Some(picture) => self.derived(cloud, picture),
                None => Err(DeliveryError::Internal("an eager picture got no answer".into())),
            },
        });
        answers.collect()
    }

    async fn picture(
        &self,
        cloud: &Cloud,
        asset: &Asset,
        entry: &EagerEntry,
    ) -> Result<Option<MadePicture>, DeliveryError> {
        let Some((transformation, purpose)) = self.wanted(asset, entry)? else { return Ok(None) };
        let made = self.deriver.derive(asset, transformation, purpose, Lane::Eager, true).await;
        let picture = made.map_err(|error| self.refusal(error))?;
        if picture.counts {
            self.meter.transformed(&cloud.id);
        }
        Ok(Some(MadePicture { bytes: picture.bytes, format: picture.format, etag: picture.etag }))
    }

    async fn measure(&self, asset: &Asset, entry: &EagerEntry) -> Result<EagerPicture, DeliveryError> {
        let Some((transformation, purpose)) = self.wanted(asset, entry)? else { return Ok(original(asset)) };
        let look = self.deriver.look(asset, transformation, purpose).await.map_err(|error| self.refusal(error))?;
        Ok(EagerPicture {
            width: look.size.width,
            height: look.size.height,
            bytes: look.bytes.len() as u64,
            format: look.format.extension().to_owned(),
        })
    }

    async fn find_faces(&self, asset: &Asset) -> Result<Vec<Region>, DeliveryError> {
        self.deriver.find_faces(asset).await.map_err(|error| self.refusal(error))
    }

    async fn describe(&self, asset: &Asset) -> Result<Map<String, Value>, DeliveryError> {
        self.deriver.describe(asset).await.map_err(|error| self.refusal(error))
    }
}
