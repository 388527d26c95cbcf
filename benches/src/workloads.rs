//! The workloads that every figure names: inputs and transformations as data.

use crate::corpus::{self, Input};
use tintype_render::language::Format;

/// The layer that W2 draws; its bytes come with the options of a run.
pub const LOGO: &str = "cloudinary_icon";
/// The header with which Chrome asks for a picture.
pub const CHROME_ACCEPT: &str = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";

/// Pictures made by library calls: file to files, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    pub input: Input,
    /// One picture for each. They belong to one job: a renderer may share what they have in common.
    pub transformations: &'static [&'static str],
    /// Format that is written; `None` where the transformation leaves it to [`CHROME_ACCEPT`].
    pub output: Option<Format>,
}

const W1: Workload = Workload {
    name: "W1",
    title: "12 MP JPEG -> fit 400x400 JPEG q80",
    input: corpus::PHOTO_12MP,
    transformations: &["c_fit,w_400,h_400/q_80,f_jpg"],
    output: Some(Format::Jpeg),
};

const W2: Workload = Workload {
    name: "W2j",
    title: "12 MP JPEG -> fill 400x350, radius, border, logo, JPEG q80",
    input: corpus::PHOTO_12MP,
    transformations: &["c_fill,w_400,h_350/r_20,bo_5px_solid_black/\
        l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,x_10,y_10/q_80,f_jpg"],
    output: Some(Format::Jpeg),
};

/// All library workloads, in the order of the tables.
pub const WORKLOADS: &[Workload] = &[
    W1,
    Workload {
        name: "W1w",
        title: "12 MP WebP -> fit 400x400 WebP q80",
        input: corpus::WEBP_12MP,
        transformations: &["c_fit,w_400,h_400/q_80,f_webp"],
        output: Some(Format::WebP),
    },
    W2,
    Workload {
        name: "W2w",
        title: "12 MP JPEG -> fill 400x350, radius, border, logo, WebP q80",
        transformations: &["c_fill,w_400,h_350/r_20,bo_5px_solid_black/\
            l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,x_10,y_10/q_80,f_webp"],
        output: Some(Format::WebP),
        ..W2
    },
    Workload {
        name: "W3",
        title: "24 MP JPEG -> 10 widths from 200 to 2000, JPEG q80",
        input: corpus::PHOTO_24MP,
        transformations: &[
            "c_scale,w_200/q_80,f_jpg",
            "c_scale,w_400/q_80,f_jpg",
            "c_scale,w_600/q_80,f_jpg",
            "c_scale,w_800/q_80,f_jpg",
            "c_scale,w_1000/q_80,f_jpg",
            "c_scale,w_1200/q_80,f_jpg",
            "c_scale,w_1400/q_80,f_jpg",
            "c_scale,w_1600/q_80,f_jpg",
            "c_scale,w_1800/q_80,f_jpg",
            "c_scale,w_2000/q_80,f_jpg",
        ],
        output: Some(Format::Jpeg),
    },
    Workload {
        name: "W4",
        title: "2 MP JPEG -> 1200 wide AVIF q60",
        input: corpus::PHOTO_2MP,
        transformations: &["c_scale,w_1200/q_60,f_avif"],
        output: Some(Format::Avif),
    },
    Workload {
        name: "W5",
        title: "2 MP PNG with alpha -> 50 % PNG",
        input: corpus::PNG_2MP,
        transformations: &["c_scale,w_0.5/f_png"],
        output: Some(Format::Png),
    },
    Workload {
        name: "W6",
        title: "12 MP progressive JPEG -> fit 400x400 JPEG q80",
        input: corpus::PROGRESSIVE_12MP,
        ..W1
    },
    Workload {
        name: "W8",
        title: "2 MP JPEG -> fill 800x600 JPEG q80",
        input: corpus::PHOTO_2MP,
        transformations: &["c_fill,w_800,h_600/q_80,f_jpg"],
        output: Some(Format::Jpeg),
    },
    Workload {
        name: "W9",
        title: "2 MP JPEG -> fit 512 JPEG q80",
        input: corpus::PHOTO_2MP,
        transformations: &["c_fit,w_512,h_512/q_80,f_jpg"],
        output: Some(Format::Jpeg),
    },
    Workload {
        name: "W10",
        title: "2 MP JPEG -> c_fill,w_800/f_auto,q_auto for Chrome",
        input: corpus::PHOTO_2MP,
        transformations: &["c_fill,w_800/f_auto,q_auto"],
        output: None,
    },
];

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The same picture of about 20 KB, which is cached.
    Cached,
    /// A picture that nobody has asked for before, every time.
    Missing(Family),
}

/// Many different pictures of about one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub crop: &'static str,
    pub tail: &'static str,
    /// First and last, of pixels; the mean is the nominal size.
    pub widths: (u32, u32),
    pub heights: (u32, u32),
}

/// 9801 pictures of 800x600 pixels on average.
const W8_FAMILY: Family = Family { crop: "c_fill", tail: "q_80,f_jpg", widths: (740, 860), heights: (560, 640) };
/// The height never binds: an upright 4:3 picture is as wide as is asked.
const W9_FAMILY: Family = Family { crop: "c_fit", tail: "q_80,f_jpg", widths: (496, 528), heights: (500, 799) };
const W1_FAMILY: Family = Family { crop: "c_fit", tail: "q_80,f_jpg", widths: (384, 416), heights: (400, 599) };
const W10_FAMILY: Family = Family { tail: "f_auto,q_auto", ..W8_FAMILY };

/// Requests over HTTP to a server of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerWorkload {
    pub name: &'static str,
    pub title: &'static str,
    pub input: Input,
    pub asked: Asked,
    pub n_connections: usize,
    /// The server runs on one core and the load on another.
    pub one_core: bool,
    /// Requests go to so many different originals in turn. With one, misses that meet share its decode.
    pub n_originals: usize,
}

/// Originals of a workload over HTTP: more than connections, so that no two of its misses meet on one.
pub const ORIGINALS: usize = 16;
/// No server is asked for more misses than this.
const MAX_REQUESTS: usize = 100_000;

const W8_SERVED: ServerWorkload = ServerWorkload {
    name: "W8",
    title: "2 MP JPEG -> ~800x600 fill JPEG q80, a miss every time, 8 connections",
    input: corpus::PHOTO_2MP,
    asked: Asked::Missing(W8_FAMILY),
    n_connections: 8,
    one_core: false,
    n_originals: ORIGINALS,
};

/// All workloads over HTTP, in the order of the tables.
pub const SERVER_WORKLOADS: &[ServerWorkload] = &[
    ServerWorkload {
        name: "W1h",
        title: "12 MP JPEG -> fit ~400 JPEG q80, a miss every time, 8 connections",
        input: corpus::PHOTO_12MP,
        asked: Asked::Missing(W1_FAMILY),
        ..W8_SERVED
    },
    ServerWorkload {
        name: "W7",
        title: "a cached 20 KB picture, 32 connections, server on one core",
        input: corpus::PHOTO_2MP,
        asked: Asked::Cached,
        n_connections: 32,
        one_core: true,
        n_originals: 1,
    },
    W8_SERVED,
    ServerWorkload {
        name: "W8shared",
        title: "W8 of a single original, whose decode the misses that meet share",
        n_originals: 1,
        ..W8_SERVED
    },
    ServerWorkload {
        name: "W8c1",
        title: "2 MP JPEG -> ~800x600 fill JPEG q80, a miss every time, 1 connection",
        n_connections: 1,
        ..W8_SERVED
    },
    ServerWorkload {
        name: "W9",
        title: "2 MP JPEG -> fit ~512 JPEG q80, a miss every time, 2 connections",
        asked: Asked::Missing(W9_FAMILY),
        n_connections: 2,
        ..W8_SERVED
    },
    ServerWorkload {
        name: "W10",
        title: "2 MP JPEG -> ~800 fill f_auto,q_auto for Chrome, a miss every time, 8 connections",
        asked: Asked::Missing(W10_FAMILY),
        ..W8_SERVED
    },
];

impl Family {
    /// All sizes once, in an order in which large and small ones are mixed.
    pub fn sizes(&self) -> Vec<(u32, u32)> {
        let columns = u64::from(self.widths.1 - self.widths.0 + 1);
        let rows = u64::from(self.heights.1 - self.heights.0 + 1);
        let n = columns * rows;
        // A step without a common factor with n visits every number once.
        let step = (0..n).map(|at| n * 619 / 1000 + 1 + at).find(|step| coprime(*step, n)).unwrap_or(1);
        let size = |at: u64| {
            let number = at * step % n;
            (self.widths.0 + (number % columns) as u32, self.heights.0 + (number / columns) as u32)
        };
        (0..n).map(size).collect()
    }

    /// Different misses: numbers of originals in turn, each with a size that it was not asked for yet.
    pub fn requests(&self, n_originals: usize) -> Vec<(usize, (u32, u32))> {
        let sizes = self.sizes();
        let n_originals = n_originals.max(1);
        let n = (sizes.len() * n_originals).min(MAX_REQUESTS);
        // Every original begins elsewhere, so that one size does not come for all of them in a row.
        let apart = sizes.len() / n_originals;
        (0..n)
            .map(|at| {
                let original = at % n_originals;
                (original, sizes[(at / n_originals + original * apart) % sizes.len()])
            })
            .collect()
    }

    /// About the mean of all sizes, with sides of four to three: the one that is looked at.
    pub fn nominal(&self) -> (u32, u32) {
        let width = (self.widths.0 + self.widths.1) / 2;
        (width, width * 3 / 4)
    }

    /// The transformation of one size.
    pub fn transformation(&self, (width, height): (u32, u32)) -> String {
        format!("{},w_{width},h_{height}/{}", self.crop, self.tail)
    }
}

fn coprime(a: u64, b: u64) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}

/// Transformations of [`Asked::Cached`]; the one whose picture is nearest to 20 KB is used.
pub fn cached_candidates() -> Vec<String> {
    (220..=460).step_by(20).map(|width| format!("c_fit,w_{width}/q_80,f_jpg")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;
    use tintype_render::Limits;
    use tintype_render::language::{FormatParam, parse};

    #[test]
    fn every_transformation_is_one_and_says_its_format() {
        for workload in WORKLOADS {
            for text in workload.transformations {
                let parsed = parse(text, &Limits::default()).unwrap();
                let expected = workload.output.map_or(FormatParam::Auto, FormatParam::Named);
                assert_eq!(parsed.components.last().unwrap().format, Some(expected), "{text}");
            }
        }
        let served = SERVER_WORKLOADS.iter().filter_map(|workload| match workload.asked {
            Asked::Missing(family) => Some(family.transformation((700, 500))),
            Asked::Cached => None,
        });
        for text in served.chain(cached_candidates()) {
            assert!(parse(&text, &Limits::default()).unwrap().components.last().unwrap().format.is_some(), "{text}");
        }
    }

    #[test]
    fn names_are_unique() {
        let library: BTreeSet<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        let server: BTreeSet<&str> = SERVER_WORKLOADS.iter().map(|workload| workload.name).collect();
        assert_eq!((library.len(), server.len()), (WORKLOADS.len(), SERVER_WORKLOADS.len()));
    }

    #[test]
    fn originals_take_turns_and_no_miss_comes_twice() {
        for n_originals in [1, 3, ORIGINALS] {
            let requests = W8_FAMILY.requests(n_originals);
            assert!(requests.len() >= 9000);
            assert_eq!(requests.iter().collect::<BTreeSet<_>>().len(), requests.len());
            let turns = requests.iter().enumerate().all(|(at, (original, _))| *original == at % n_originals);
            assert!(turns, "{n_originals}");
            let mean = requests.iter().take(400).map(|(_, size)| f64::from(size.0)).sum::<f64>() / 400.0;
            assert!((mean - 800.0).abs() < 10.0, "{n_originals}: {mean}");
        }
        assert_eq!(W8_FAMILY.requests(0).len(), W8_FAMILY.sizes().len());
        assert_eq!((W8_FAMILY.nominal(), W9_FAMILY.nominal()), ((800, 600), (512, 384)));
    }

    #[test]
    fn misses_differ_and_are_mixed() {
        for workload in SERVER_WORKLOADS {
            let Asked::Missing(family) = workload.asked else { continue };
            let sizes = family.sizes();
            assert!(sizes.len() >= 5000, "{}", workload.name);
            assert_eq!(sizes.iter().collect::<BTreeSet<_>>().len(), sizes.len());
            let nominal = f64::from(family.widths.0 + family.widths.1) / 2.0;
            let mean = sizes.iter().take(200).map(|size| f64::from(size.0)).sum::<f64>() / 200.0;
            assert!((mean - nominal).abs() < 10.0, "{}: {mean} instead of {nominal}", workload.name);
        }
    }
}
