//! The workloads that every figure names: inputs and transformations as data.

use crate::corpus::{self, Input};
use tintype_render::language::Format;

/// The layer that W2 draws; its bytes come with the options of a run.
pub const LOGO: &str = "cloudinary_icon";

/// One picture made by a library call: file to file, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    pub input: Input,
    pub transformation: &'static str,
    /// Format that is written.
    pub output: Format,
}

const W1: Workload = Workload {
    name: "W1",
    title: "12 MP JPEG -> fit 400x400 JPEG q80",
    input: corpus::PHOTO_12MP,
    transformation: "c_fit,w_400,h_400/q_80,f_jpg",
    output: Format::Jpeg,
};

const W2: Workload = Workload {
    name: "W2j",
    title: "12 MP JPEG -> fill 400x350, radius, border, logo, JPEG q80",
    input: corpus::PHOTO_12MP,
    transformation: "c_fill,w_400,h_350/r_20,bo_5px_solid_black/\
        l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,x_10,y_10/q_80,f_jpg",
    output: Format::Jpeg,
};

/// All library workloads, in the order of the tables.
pub const WORKLOADS: &[Workload] = &[
    W1,
    Workload {
        name: "W1w",
        title: "12 MP WebP -> fit 400x400 WebP q80",
        input: corpus::WEBP_12MP,
        transformation: "c_fit,w_400,h_400/q_80,f_webp",
        output: Format::WebP,
    },
    W2,
    Workload {
        name: "W2w",
        title: "12 MP JPEG -> fill 400x350, radius, border, logo, WebP q80",
        transformation: "c_fill,w_400,h_350/r_20,bo_5px_solid_black/\
            l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,x_10,y_10/q_80,f_webp",
        output: Format::WebP,
        ..W2
    },
    Workload {
        name: "W5",
        title: "2 MP PNG with alpha -> 50 % PNG",
        input: corpus::PNG_2MP,
        transformation: "c_scale,w_0.5/f_png",
        output: Format::Png,
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
        transformation: "c_fill,w_800,h_600/q_80,f_jpg",
        output: Format::Jpeg,
    },
];

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The same picture of about 20 KB, which is cached.
    Cached,
    /// A picture that nobody has asked for before, every time: about 800x600 JPEG q80.
    Missing,
}

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
}

/// All workloads over HTTP, in the order of the tables.
pub const SERVER_WORKLOADS: &[ServerWorkload] = &[
    ServerWorkload {
        name: "W7",
        title: "a cached 20 KB picture, 32 connections, server on one core",
        input: corpus::PHOTO_2MP,
        asked: Asked::Cached,
        n_connections: 32,
        one_core: true,
    },
    ServerWorkload {
        name: "W8",
        title: "2 MP JPEG -> ~800x600 fill JPEG q80, a miss every time, 8 connections",
        input: corpus::PHOTO_2MP,
        asked: Asked::Missing,
        n_connections: 8,
        one_core: false,
    },
    ServerWorkload {
        name: "W8c1",
        title: "2 MP JPEG -> ~800x600 fill JPEG q80, a miss every time, 1 connection",
        input: corpus::PHOTO_2MP,
        asked: Asked::Missing,
        n_connections: 1,
        one_core: false,
    },
];

/// Widths from 740 to 860 and heights from 560 to 640: 9801 different pictures of 800x600 pixels on average.
const WIDTHS: std::ops::RangeInclusive<u32> = 740..=860;
const HEIGHTS: std::ops::RangeInclusive<u32> = 560..=640;

/// Transformations of [`Asked::Missing`], all different, in an order in which large and small ones are mixed.
pub fn misses() -> Vec<String> {
    let (columns, rows) = (WIDTHS.count() as u64, HEIGHTS.count() as u64);
    let n = columns * rows;
    // A step without a common factor with 9801 = 3^4 * 11^2 visits every number once.
    (0..n)
        .map(|at| {
            let number = at * 6067 % n;
            let (width, height) =
                (WIDTHS.start() + (number % columns) as u32, HEIGHTS.start() + (number / columns) as u32);
            format!("c_fill,w_{width},h_{height}/q_80,f_jpg")
        })
        .collect()
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
        let texts = WORKLOADS.iter().map(|workload| (workload.transformation.to_owned(), workload.output));
        let served = misses().into_iter().take(3).chain(cached_candidates()).map(|text| (text, Format::Jpeg));
        for (text, output) in texts.chain(served) {
            let parsed = parse(&text, &Limits::default()).unwrap();
            assert_eq!(parsed.components.last().unwrap().format, Some(FormatParam::Named(output)), "{text}");
        }
    }

    #[test]
    fn names_are_unique() {
        let library: BTreeSet<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        let server: BTreeSet<&str> = SERVER_WORKLOADS.iter().map(|workload| workload.name).collect();
        assert_eq!((library.len(), server.len()), (WORKLOADS.len(), SERVER_WORKLOADS.len()));
    }

    #[test]
    fn misses_differ_and_are_mixed() {
        let texts = misses();
        assert_eq!(texts.len(), 9801);
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
        let width = |text: &String| text[9..12].parse::<f64>().unwrap();
        let mean = texts.iter().take(200).map(width).sum::<f64>() / 200.0;
        assert!((mean - 800.0).abs() < 10.0, "the first pictures are {mean} wide on average");
    }
}
