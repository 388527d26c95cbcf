//! The workloads of the documentation as shapes: what their plans and decoders ask of a device, without any file.

use super::{Shape, Wire};
use crate::codec;
use crate::error::{Error, Result};
use crate::language::{Format, parse};
use crate::limits::Limits;
use crate::plan;
use crate::plan::bind::Decoded;
use crate::plan::facts::{AcceptClass, Facts, Profile, Purpose, SourceFacts, Stage};
use crate::plan::geometry::{Orientation, Size};
use crate::planes::Subsampling;
use std::sync::Arc;

/// A workload that renders. W7, which is served from memory, is not among them.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    /// Size and format of the original.
    pub size: (u32, u32),
    pub format: Format,
    pub has_alpha: bool,
    /// Outputs that are made of one decode, as transformations.
    pub outputs: &'static [&'static str],
}

const LOGO: Size = Size::new(400, 200);
const MP_12: (u32, u32) = (4032, 3024);
const MP_2: (u32, u32) = (1600, 1200);

/// W1 to W10 but W7, with the sizes of the benches.
pub const WORKLOADS: [Workload; 9] = [
    one("W1", MP_12, Format::Jpeg, &["c_fit,w_400,h_400/f_jpg,q_80"]),
    one("W1w", MP_12, Format::WebP, &["c_fit,w_400,h_400/f_webp,q_80"]),
    one(
        "W2",
        MP_12,
        Format::Jpeg,
        &[
            "c_fill,w_400,h_350/r_20,bo_5px_solid_black/l_logo,o_50,w_0.25,fl_relative,g_north_east,x_10,y_10/f_jpg,q_80",
        ],
    ),
    one(
        "W3",
        (6000, 4000),
        Format::Jpeg,
        &[
            "w_200/f_jpg,q_80",
            "w_400/f_jpg,q_80",
            "w_600/f_jpg,q_80",
            "w_800/f_jpg,q_80",
            "w_1000/f_jpg,q_80",
            "w_1200/f_jpg,q_80",
            "w_1400/f_jpg,q_80",
            "w_1600/f_jpg,q_80",
            "w_1800/f_jpg,q_80",
            "w_2000/f_jpg,q_80",
        ],
    ),
    one("W4", MP_2, Format::Jpeg, &["c_scale,w_1200/f_avif"]),
    Workload { name: "W5", size: MP_2, format: Format::Png, has_alpha: true, outputs: &["c_scale,w_0.5/f_png"] },
    one("W8", MP_2, Format::Jpeg, &["c_fill,w_800,h_600/f_jpg,q_80"]),
    one("W9", MP_2, Format::Jpeg, &["c_fit,w_512,h_512/f_jpg,q_80"]),
    one("W10", MP_2, Format::Jpeg, &["c_fill,w_800/f_webp,q_80"]),
];

const fn one(name: &'static str, size: (u32, u32), format: Format, outputs: &'static [&'static str]) -> Workload {
    Workload { name, size, format, has_alpha: false, outputs }
}

impl Workload {
    /// Shapes of all outputs of one original, `copies` times over for different originals.
    ///
    /// Errors are faults of the table.
    pub fn shapes(&self, profile: Profile, copies: u64) -> Result<Vec<Shape>> {
        let mut plans = Vec::new();
        for output in self.outputs {
            plans.push(self.shape(output, profile)?);
        }
        let mut shapes = Vec::new();
        for copy in 0..copies {
            // A decoder that gives several outputs one scale gives them one picture.
            shapes.extend(plans.iter().map(|shape| {
                let mut shape = shape.clone();
                for (source, (_, picture)) in shape.sources.iter_mut().enumerate() {
                    let loaded = shape.plan.sizes.get(source).map_or(0, |size| size.pixels());
                    *picture = (copy << 40) + ((source as u64) << 36) + loaded;
                }
                shape
            }));
        }
        Ok(shapes)
    }

    fn shape(&self, output: &str, profile: Profile) -> Result<Shape> {
        let limits = Limits::default();
        let transformation = parse(output, &limits)?;
        let facts = |size: Size, format: Format, has_alpha: bool| SourceFacts {
            size,
            orientation: Orientation::IDENTITY,
            format,
            has_alpha,
            faces: Some(Vec::new()),
            custom: Vec::new(),
        };
        let base = facts(Size::new(self.size.0, self.size.1), self.format, self.has_alpha);
        let layers = transformation.layer_ids().into_iter().map(|id| (id.to_owned(), facts(LOGO, Format::Png, true)));
        let facts = Facts { base: base.clone(), layers: layers.collect() };
        let purpose = Purpose { profile, extension: None, accept: AcceptClass { webp: true, avif: true } };
        let Stage::Done(plan) = plan::resolve(&transformation, &facts, &purpose, &limits)? else {
            return Err(Error::Device(format!("workload {} wants to be measured", self.name)));
        };
        let mut decoded: Vec<Decoded> = Vec::new();
        let mut sources = Vec::new();
        for (index, demand) in plan.sources.iter().enumerate() {
            let (format, alpha) = if index == 0 { (self.format, self.has_alpha) } else { (Format::Png, true) };
            let mut given = codec::predict(demand, format);
            let wire = match (format, alpha) {
                (_, true) => Wire::Rgba,
                // Our own decoder keeps planes at every scale; where more than resampling reads them, they are pixels.
                (Format::Jpeg, false) if plan.only_resamples(index) => {
                    given.subsampling = Some(Subsampling::HALF);
                    Wire::Planar { across: 2, down: 2 }
                }
                _ => Wire::Rgb,
            };
            decoded.push(given);
            sources.push((wire, index as u64));
        }
        Ok(Shape { plan: Arc::new(plan.bind(&decoded)?), sources })
    }
}
