//! Animations: every frame is a work of its own, by the same plan as a still picture, and the frames are written as one file.
//!
//! Frames are read, rendered and written by windows, so that memory does not grow with their number.

use rand::random;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::codec::{self, GifReader, GifWriter};
use tintype_render::frame::{BYTES_PER_PIXEL, Frame};
use tintype_render::language::{Component, Format, FormatParam, Gravity, Transformation};
use tintype_render::pipeline::{Picture, Request};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Orientation, Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{self, Encoding, Quality};
use tintype_render::{Error, Limits};
use tintype_scheduler::{Lane, Rendered, Scheduler, SourceError, SourceReader, Timings, Work, WorkError, WorkKey};
use tokio::sync::Semaphore;

use async_trait::async_trait;
use bytes::Bytes;

/// Animations that are made at once: what they hold between their works is not paid for by permits.
const AT_ONCE: usize = 2;
/// Most frames, and most pixels of them before and after the transformation, that are in memory at once.
const WINDOW_FRAMES: u64 = 16;
const WINDOW_PIXELS: u64 = 4_000_000;
/// How long a frame may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Renders animations.
pub struct Animator {
    scheduler: Arc<Scheduler>,
    limits: Limits,
    seats: Semaphore,
}

/// What an animation becomes under a transformation, if it stays one: the transformation with `f_auto` settled. GIF is the
/// one animated format that is written; a named page or a still format asks for one frame.
pub fn moving(transformation: &Transformation, pages: u32, extension: Option<Format>) -> Option<Transformation> {
    if pages <= 1 || transformation.components.iter().any(|component| component.page.is_some()) {
        return None;
    }
    let mut settled = transformation.clone();
    let last = settled.components.iter_mut().rev().find_map(|component| component.format.as_mut());
    let stays = match last {
        Some(format @ FormatParam::Auto) => {
            *format = FormatParam::Named(Format::Gif);
            true
        }
        Some(FormatParam::Named(format)) => *format == Format::Gif,
        None => extension.is_none_or(|format| format == Format::Gif),
    };
    stays.then_some(settled)
}

/// The window that was read, and how much longer the animation is.
struct Window {
    reader: GifReader<Cursor<Bytes>>,
    /// Frames as PNGs, with hundredths of a second for which each is shown.
    frames: Vec<(Bytes, u16)>,
    is_last: bool,
}

impl Animator {
    pub fn new(scheduler: Arc<Scheduler>, limits: Limits) -> Self {
        Animator { scheduler, limits, seats: Semaphore::new(AT_ONCE) }
    }

    /// Renders every frame of the base of a work, which is a GIF of so many frames, and writes them as a GIF with the same
    /// timing.
    pub async fn render(&self, work: Work, pages: u32) -> Result<Rendered, WorkError> {
        let seat = self.seats.acquire();
        let seat = match work.lane {
            Lane::Interactive => tokio::time::timeout(PATIENCE, seat).await.map_err(|_| WorkError::Busy)?,
            _ => seat.await,
        };
        let _seat = seat.map_err(|_| WorkError::ShuttingDown)?;
        let file = work.sources.read(&None).await?;
        let request = frame_request(&work.request);
        let (size, has_alpha) = output(&request, &self.limits)?;
        let all = size.pixels().saturating_mul(pages.into());
        if all > self.limits.animation_pixels {
            return Err(Error::Limit(format!(
                "Maximum number of pixels of all frames is {}. Requested {all}",
                self.limits.animation_pixels
            ))
            .into());
        }
        let limits = self.limits.clone();
        let mut reader = GifReader::open(Cursor::new(file), &limits)?;
        let source = reader.size();
        let largest = source.pixels().max(size.pixels()).max(1);
        let n_frames = (WINDOW_PIXELS / largest).clamp(1, WINDOW_FRAMES);
        let read_cost = source.pixels().saturating_mul(BYTES_PER_PIXEL as u64 * (4 + n_frames));
        let write_cost = size.pixels().saturating_mul(16).saturating_add(1 << 20);
        let mut writer: Option<GifWriter> = None;
        let mut first: Option<Rendered> = None;
        let mut timings = Timings::default();
        loop {
            let window_limits = self.limits.clone();
            let read = move || read_window(reader, n_frames, &window_limits);
            let window = self.scheduler.run(work.lane, read_cost, read).await??;
            let repeat = window.reader.repeat();
            let works = window.frames.iter().map(|(frame, _)| self.frame_work(&work, &request, frame)).collect();
            let mut pictures = Vec::with_capacity(window.frames.len());
            for (ticket, (_, delay_cs)) in self.scheduler.submit_all(works).into_iter().zip(&window.frames) {
                let rendered = ticket.await?;
                add(&mut timings, &rendered.timings);
                pictures.push((rendered.picture.bytes.clone(), *delay_cs));
                first.get_or_insert_with(|| (*rendered).clone());
            }
            let mut file = match writer.take() {
                Some(writer) => writer,
                None => GifWriter::new(size, repeat, has_alpha)?,
            };
            let write_limits = self.limits.clone();
            let write = move || {
                for (bytes, delay_cs) in &pictures {
                    file.push(&whole(bytes, &write_limits)?, *delay_cs)?;
                }
                Ok::<_, Error>(file)
            };
            writer = Some(self.scheduler.run(work.lane, write_cost, write).await??);
            reader = window.reader;
            if window.is_last {
                break;
            }
        }
        let (Some(writer), Some(first)) = (writer, first) else {
            return Err(WorkError::Internal("an animation ended before its first frame".into()));
        };
        let mut bytes = writer.finish()?;
        bytes.shrink_to_fit();
        let picture = Picture { bytes: bytes.into(), format: Format::Gif, size, quality: None };
        Ok(Rendered { picture, found: Vec::new(), timings, ..first })
    }

    fn frame_work(&self, whole: &Work, request: &Request, frame: &Bytes) -> Work {
        let sources = FrameSources { frame: frame.clone(), others: whole.sources.clone() };
        Work {
            // Nobody else asks for a frame: those who want the animation share it as a whole.
            key: WorkKey::new(random()),
            lane: whole.lane,
            request: request.clone(),
            sources: Arc::new(sources),
            base: None,
            deadline: whole.deadline.map(|_| tokio::time::Instant::now() + PATIENCE),
        }
    }
}

/// Reads the next frames.
fn read_window(mut reader: GifReader<Cursor<Bytes>>, n_frames: u64, limits: &Limits) -> Result<Window, Error> {
    let encoding = Encoding { format: Format::Png, quality: Quality::Fixed(100), chroma: None, progressive: false };
    let mut frames = Vec::new();
    let mut is_last = false;
    while (frames.len() as u64) < n_frames {
        match reader.advance()? {
            Some(delay_cs) => {
                frames.push((codec::encode(&reader.frame()?, &encoding, limits)?.bytes.into(), delay_cs));
            }
            None => {
                is_last = true;
                break;
            }
        }
    }
    Ok(Window { reader, frames, is_last })
}

fn whole(bytes: &[u8], limits: &Limits) -> Result<Frame, Error> {
    let size = codec::probe(bytes, limits)?.size;
    Ok(codec::decode(bytes, &Demand { size, scale: 1.0, region: Rect::whole(size) }, limits)?.0)
}

/// What is rendered of each frame: the request with the frame, a PNG, as its base, and a PNG as its result. Gravities that
/// look at pixels become the center, or every frame would be cut elsewhere.
fn frame_request(request: &Request) -> Request {
    let steady = |component: &Component| {
        let gravity = component.gravity.map(|gravity| match gravity {
            Gravity::Face(_) | Gravity::Faces(_) => Gravity::Compass(tintype_render::language::Compass::Center),
            Gravity::CustomFace | Gravity::CustomFaces => Gravity::Custom,
            other => other,
        });
        Component { gravity, format: None, quality: None, ..component.clone() }
    };
    let components = request.transformation.components.iter().map(steady).collect();
    let base = SourceFacts {
        format: Format::Png,
        orientation: Orientation::IDENTITY,
        faces: Some(vec![]),
        ..request.facts.base.clone()
    };
    let purpose = Purpose { profile: request.purpose.profile, extension: Some(Format::Png), ..Purpose::default() };
    Request {
        transformation: Arc::new(Transformation { components }),
        facts: Facts { base, layers: request.facts.layers.clone() },
        purpose,
    }
}

/// Size of the frames that come out, and whether they may be transparent.
fn output(request: &Request, limits: &Limits) -> Result<(Size, bool), Error> {
    let mut facts = request.facts.clone();
    for layer in facts.layers.values_mut() {
        let upright = layer.orientation.apply_size(layer.size);
        layer.faces.get_or_insert_with(|| vec![Rect::whole(upright).into()]);
    }
    match plan::resolve(&request.transformation, &facts, &request.purpose, limits)? {
        Stage::Done(plan) => match plan.steps.get(usize::from(plan.output.0)) {
            Some(step) => Ok((step.size, step.alpha)),
            None => Err(Error::Device("a plan without an output".into())),
        },
        Stage::Measure(_) => Err(Error::Device("planning asks for what it was told".into())),
    }
}

fn add(sum: &mut Timings, one: &Timings) {
    sum.queue += one.queue;
    sum.read += one.read;
    sum.decode += one.decode;
    sum.render += one.render;
    sum.encode += one.encode;
}

/// A frame in the place of the base.
struct FrameSources {
    frame: Bytes,
    others: Arc<dyn SourceReader>,
}

#[async_trait]
impl SourceReader for FrameSources {
    async fn read(&self, source: &Option<String>) -> Result<Bytes, SourceError> {
        match source {
            None => Ok(self.frame.clone()),
            Some(_) => self.others.read(source).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tintype_render::language::parse;

    #[test]
    fn an_animation_stays_one_unless_a_still_picture_is_asked_for() {
        let stays = |text: &str, pages, extension| {
            moving(&parse(text, &Limits::default()).unwrap(), pages, extension).map(|settled| settled.to_string())
        };
        assert_eq!(stays("w_10", 3, Some(Format::Gif)).as_deref(), Some("w_10"));
        assert_eq!(stays("w_10", 3, None).as_deref(), Some("w_10"));
        assert_eq!(stays("w_10/f_auto", 3, Some(Format::Jpeg)).as_deref(), Some("w_10/f_gif"));
        assert_eq!(stays("f_gif,w_10", 3, Some(Format::Jpeg)).as_deref(), Some("f_gif,w_10"));
        for (text, pages, extension) in [
            ("w_10", 1, Some(Format::Gif)),
            ("w_10", 3, Some(Format::Jpeg)),
            ("w_10,pg_2", 3, Some(Format::Gif)),
            ("w_10,f_png", 3, Some(Format::Gif)),
        ] {
            assert_eq!(stays(text, pages, extension), None, "{text}");
        }
    }
}
