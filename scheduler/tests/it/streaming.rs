//! Works on large JPEGs that share with nobody: decoded and rendered at once, by the renderer's own pipeline.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format, parse};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts};
use tintype_render::plan::geometry::{Orientation, Size};
use tintype_render::plan::{Encoding, Quality};
use tintype_render::{Limits, codec};
use tintype_scheduler::{Config, Lane, Scheduler, SourceError, SourceKey, SourceReader, Work, WorkKey};

const SIZE: Size = Size::new(2400, 1800);

struct File(Bytes);

#[async_trait]
impl SourceReader for File {
    async fn read(&self, _source: &Option<String>) -> Result<Bytes, SourceError> {
        Ok(self.0.clone())
    }
}

fn file() -> Bytes {
    let pixels = (0..SIZE.pixels() as u32).flat_map(|at| {
        let (x, y) = (at % SIZE.width, at / SIZE.width);
        [((x / 7) ^ (y / 5)) as u8, (x / 24) as u8, (y / 16) as u8, 255]
    });
    let frame = Frame::new(SIZE, false, pixels.collect()).unwrap();
    let chroma = Some(ChromaSampling::Half);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(85), chroma, progressive: false };
    codec::encode(&frame, &encoding, &Limits::default()).unwrap().bytes.into()
}

fn request(text: &str) -> Request {
    let base = SourceFacts {
        size: SIZE,
        orientation: Orientation::IDENTITY,
        format: Format::Jpeg,
        has_alpha: false,
        faces: Some(vec![]),
        custom: vec![],
    };
    Request {
        transformation: Arc::new(parse(text, &Limits::default()).unwrap()),
        facts: Facts { base, layers: Default::default() },
        purpose: Purpose::default(),
    }
}

fn work(number: u8, text: &str, file: &Bytes) -> Work {
    Work {
        key: WorkKey::new([number; 32]),
        lane: Lane::Interactive,
        request: request(text),
        sources: Arc::new(File(file.clone())),
        base: Some(SourceKey::new([7; 32])),
        deadline: None,
    }
}

fn scheduler() -> Scheduler {
    let config = Config { n_threads: 1, max_wait: Duration::from_secs(600), ..Config::default() };
    let faces = Arc::new(FaceDetector::new().unwrap());
    Scheduler::start(config, Arc::new(CpuBackend::new()), None, faces, Limits::default()).unwrap()
}

/// The same picture from a decode that is held.
fn expected(text: &str, file: &Bytes) -> Bytes {
    let (request, limits) = (request(text), Limits::default());
    let faces = FaceDetector::new().unwrap();
    let prepared = pipeline::prepare(&request, std::slice::from_ref(file), &faces, &limits).unwrap();
    let output = CpuBackend::new().run(&prepared.job).unwrap();
    pipeline::finish(output, &prepared.encoding, &limits).unwrap().bytes
}

#[tokio::test]
async fn a_large_work_alone_is_streamed_and_a_small_one_is_not() {
    let (scheduler, file) = (scheduler(), file());
    for (number, text, n_streamed) in [(1, "c_scale,w_2000/q_80,f_jpg", 1), (2, "c_scale,w_200/q_80,f_jpg", 1)] {
        let rendered = scheduler.submit(work(number, text, &file)).await.unwrap();
        assert!(rendered.picture.bytes == expected(text, &file), "{text}");
        assert_eq!(scheduler.metrics().decodes_streamed, n_streamed, "{text}");
    }
    assert_eq!(scheduler.metrics().decodes, 2);
    assert!(scheduler.shutdown(Duration::from_secs(60)).await);
    assert_eq!(scheduler.metrics().in_flight_bytes, 0);
}

#[tokio::test]
async fn large_works_that_come_together_share_one_decode() {
    let (scheduler, file) = (scheduler(), file());
    let texts = ["c_scale,w_2000/q_80,f_jpg", "c_scale,w_1990/q_80,f_jpg", "c_scale,w_1980/q_80,f_jpg"];
    let works = (1..).zip(texts).map(|(number, text)| work(number, text, &file)).collect();
    for rendered in futures::future::join_all(scheduler.submit_all(works)).await {
        rendered.unwrap();
    }
    let metrics = scheduler.metrics();
    // Whoever comes last may find that all others are done with.
    assert!(metrics.decodes + metrics.decodes_shared == 3 && metrics.decodes_streamed <= metrics.decodes);
    assert!(scheduler.shutdown(Duration::from_secs(60)).await);
    assert_eq!(scheduler.metrics().in_flight_bytes, 0);
}

#[tokio::test]
async fn a_damaged_file_is_answered_as_ever_and_gives_its_permit_back() {
    let (scheduler, file) = (scheduler(), file());
    let text = "c_scale,w_2000/q_80,f_jpg";
    let part = file.slice(..file.len() / 2);
    let limits = Limits::default();
    let faces = FaceDetector::new().unwrap();
    let refused = pipeline::prepare(&request(text), std::slice::from_ref(&part), &faces, &limits).unwrap_err();
    let answer = scheduler.submit(work(1, text, &part)).await;
    assert_eq!(answer.map(|_| ()).unwrap_err().to_string(), refused.to_string());
    assert_eq!(scheduler.metrics().decodes_streamed, 0);
    assert!(scheduler.shutdown(Duration::from_secs(60)).await);
    assert_eq!(scheduler.metrics().in_flight_bytes, 0);
}
