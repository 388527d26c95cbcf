//! Renders a transformation over given pictures with the CPU backend, without codecs in between.

use std::sync::Arc;
use tintype_render::Limits;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::{Format, parse};
use tintype_render::plan::bind::Decoded;
use tintype_render::plan::facts::{AcceptClass, Facts, Profile, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Orientation, RectF};
use tintype_render::plan::{self, Plan};

/// A base, its facts, layers and the transformation over them.
#[derive(Clone)]
pub struct Case {
    pub base: Frame,
    pub text: String,
    pub faces: Vec<RectF>,
    pub custom: Vec<RectF>,
    pub orientation: u16,
    pub layers: Vec<(String, Frame)>,
    pub webp: bool,
}

impl Case {
    pub fn new(base: Frame, text: &str) -> Self {
        Case { base, text: text.to_owned(), faces: vec![], custom: vec![], orientation: 1, layers: vec![], webp: false }
    }

    pub fn facts(&self) -> Facts {
        let facts = |frame: &Frame| SourceFacts {
            size: frame.size(),
            orientation: Orientation::IDENTITY,
            format: if frame.has_alpha() { Format::Png } else { Format::Jpeg },
            has_alpha: frame.has_alpha(),
            faces: Some(vec![]),
            custom: vec![],
        };
        let base = SourceFacts {
            orientation: Orientation::from_exif(self.orientation),
            faces: Some(self.faces.clone()),
            custom: self.custom.clone(),
            ..facts(&self.base)
        };
        Facts { base, layers: self.layers.iter().map(|(id, frame)| (id.clone(), facts(frame))).collect() }
    }

    pub fn plan(&self, profile: Profile) -> Plan {
        let transformation = parse(&self.text, &Limits::default()).expect("the case parses");
        let purpose = Purpose { profile, extension: None, accept: AcceptClass { webp: self.webp, avif: false } };
        match plan::resolve(&transformation, &self.facts(), &purpose, &Limits::default()).expect("the case resolves") {
            Stage::Done(plan) => plan,
            Stage::Measure(measure) => panic!("{} asks for {measure:?}", self.text),
        }
    }

    /// The job with every source decoded whole.
    pub fn job(&self, profile: Profile) -> Job {
        let transformation = parse(&self.text, &Limits::default()).expect("the case parses");
        let mut frames = vec![self.base.clone()];
        for id in transformation.layer_ids() {
            let layer = self.layers.iter().find(|(known, _)| known == id).expect("the case has its layers");
            frames.push(layer.1.clone());
        }
        let decoded: Vec<Decoded> = frames.iter().map(|frame| Decoded::whole(frame.size())).collect();
        let bound = self.plan(profile).bind(&decoded).expect("whole pictures bind");
        let sources = frames.into_iter().map(|frame| Source::Rgba(Arc::new(frame))).collect();
        Job { plan: Arc::new(bound), sources }
    }
}

/// The picture, resampled in encoded light.
pub fn render_with_facts(case: &Case) -> Frame {
    let mut results = CpuBackend::new().execute(&[case.job(Profile::Fast)]);
    results.remove(0).expect("the CPU runs every plan").into_frame()
}
