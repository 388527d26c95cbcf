//! Scratch.
use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use mozjpeg::{ColorSpace, Compress, qtable};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tintype_render::Limits;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::codec;
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::{Format, parse};
use tintype_render::plan::facts::{Facts, Profile, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{self, Encoding, Quality};

fn rgb(frame: &Frame) -> Vec<u8> {
    frame.pixels().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()
}
fn score(size: Size, a: &[u8], b: &[u8]) -> f64 {
    let slice =
        |p| PixelSlice::new(p, size.width, size.height, size.width as usize * 3, PixelDescriptor::RGB8_SRGB).unwrap();
    compute_ssimulacra2(&slice(a), &slice(b)).unwrap()
}
fn decode(bytes: &[u8]) -> Frame {
    let probe = codec::probe(bytes, &Limits::default()).unwrap();
    let demand = Demand { size: probe.size, scale: 1.0, region: Rect::whole(probe.size) };
    codec::decode(bytes, &demand, &Limits::default()).unwrap().0
}

fn render(bytes: &[u8], text: &str, profile: Profile, factor: Option<f64>, planar: bool) -> (Frame, f64) {
    let limits = Limits::default();
    let probe = codec::probe(bytes, &limits).unwrap();
    let base = SourceFacts {
        size: probe.size,
        orientation: probe.orientation,
        format: probe.format,
        has_alpha: false,
        faces: None,
        custom: vec![],
    };
    let facts = Facts { base, layers: Default::default() };
    let purpose = Purpose { profile, ..Purpose::default() };
    let Stage::Done(mut plan) = plan::resolve(&parse(text, &limits).unwrap(), &facts, &purpose, &limits).unwrap()
    else {
        panic!()
    };
    if let Some(f) = factor {
        let d = &mut plan.sources[0];
        d.scale = (d.scale / 2.0 * f).min(1.0);
        if f > 100.0 {
            d.region = Rect::whole(d.size);
        }
    }
    plan.encoding = Encoding { format: Format::Png, quality: Quality::Fixed(100), chroma: None, progressive: false };
    let mut best = f64::MAX;
    let mut out = None;
    for _ in 0..3 {
        let t = Instant::now();
        let (source, given) =
            match planar.then(|| codec::decode_planes(bytes, &plan.sources[0], &limits).unwrap()).flatten() {
                Some((p, g)) => (Source::Planar(Arc::new(p)), g),
                None => {
                    let (f, g) = codec::decode(bytes, &plan.sources[0], &limits).unwrap();
                    (Source::Rgba(Arc::new(f)), g)
                }
            };
        let job = Job { plan: Arc::new(plan.bind(&[given]).unwrap()), sources: vec![source] };
        let frame = CpuBackend::new().execute(&[job]).remove(0).unwrap().into_frame();
        best = best.min(t.elapsed().as_secs_f64() * 1e3);
        out = Some(frame);
    }
    (out.unwrap(), best)
}

fn own(args: &[String]) {
    let width: u32 = std::env::var("W").ok().and_then(|w| w.parse().ok()).unwrap_or(512);
    let q: u8 = std::env::var("Q").ok().and_then(|w| w.parse().ok()).unwrap_or(80);
    let frames: Vec<(Frame, Vec<u8>)> = args
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).unwrap();
            let frame = render(
                &bytes,
                &format!("b_white,c_fit,w_{width},h_{width}/q_80,f_jpg"),
                Profile::Quality,
                Some(4.0),
                false,
            )
            .0;
            let want = rgb(&frame);
            (frame, want)
        })
        .collect();
    let eval = |f: &(dyn Fn(&Frame) -> Vec<u8> + Sync)| {
        let run = |part: &[(Frame, Vec<u8>)]| {
            part.iter()
                .map(|(frame, want)| {
                    let mut ms = f64::MAX;
                    let mut e = vec![];
                    for _ in 0..2 {
                        let t = Instant::now();
                        e = f(frame);
                        ms = ms.min(t.elapsed().as_secs_f64() * 1e3);
                    }
                    (score(frame.size(), want, &rgb(&decode(&e))), (e.len() as f64).ln(), ms)
                })
                .fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
        };
        let (a, b) = frames.split_at(frames.len() / 2);
        let (x, y) = std::thread::scope(|s| {
            let t = s.spawn(|| run(a));
            let y = run(b);
            (t.join().unwrap(), y)
        });
        let n = frames.len() as f64;
        ((x.0 + y.0) / n, (x.1 + y.1) / n, (x.2 + y.2) / n)
    };
    let r = eval(&|f: &Frame| encode(f, "fast", q));
    let show = |name: &str, v: (f64, f64, f64)| {
        println!(
            "{name}: {:.3} {:.4} bytes {:+.2}% ms {:.3} gain {:.3}",
            v.0,
            v.1,
            100.0 * ((v.1 - r.1).exp() - 1.0),
            v.2,
            v.0 - r.0 - 17.0 * (v.1 - r.1)
        )
    };
    show("fast", r);
    show("fast-opt", eval(&|f: &Frame| encode(f, "fast-opt", q)));
    for dq in [0, 1] {
        let own = |f: &Frame| {
            codec::encode(
                f,
                &Encoding { format: Format::Jpeg, quality: Quality::Fixed(q + dq), chroma: None, progressive: false },
                &Limits::default(),
            )
            .unwrap()
            .bytes
        };
        show(&format!("own q{}", q + dq), eval(&own));
    }
}

fn encode(frame: &Frame, kind: &str, q: u8) -> Vec<u8> {
    let mut c = Compress::new(ColorSpace::JCS_EXT_RGBX);
    c.set_size(frame.size().width as usize, frame.size().height as usize);
    let fast = !kind.contains("trellis");
    if fast {
        c.set_fastest_defaults();
    }
    c.set_color_space(ColorSpace::JCS_YCbCr);
    c.set_quality(f32::from(q));
    if !fast {
        c.set_optimize_scans(false);
    }
    let qf = f32::from(q);
    if kind.contains("robidoux") {
        c.set_luma_qtable(&qtable::NRobidoux.scaled(qf, qf));
        c.set_chroma_qtable(&qtable::NRobidoux.scaled(qf, qf));
    }
    if kind.contains("msssim") {
        c.set_luma_qtable(&qtable::MSSSIM_Luma.scaled(qf, qf));
        c.set_chroma_qtable(&qtable::MSSSIM_Chroma.scaled(qf, qf));
    }
    if kind.contains("psnrhvs") {
        c.set_luma_qtable(&qtable::PSNRHVS_Luma.scaled(qf, qf));
        c.set_chroma_qtable(&qtable::PSNRHVS_Chroma.scaled(qf, qf));
    }
    if kind.contains("annexk") {
        c.set_luma_qtable(&qtable::AnnexK_Luma.scaled(qf, qf));
        c.set_chroma_qtable(&qtable::AnnexK_Chroma.scaled(qf, qf));
    }
    if kind.contains("flat") {
        c.set_luma_qtable(&qtable::Flat.scaled(qf, qf));
        c.set_chroma_qtable(&qtable::Flat.scaled(qf, qf));
    }
    let pixel = if kind.contains("444") { (1, 1) } else { (2, 2) };
    c.set_chroma_sampling_pixel_sizes(pixel, pixel);
    if kind.contains("opt") || kind.contains("prog") {
        c.set_optimize_coding(true);
    }
    if kind.contains("prog") {
        c.set_progressive_mode();
    }
    let mut c = c.start_compress(Vec::new()).unwrap();
    c.write_scanlines(frame.pixels()).unwrap();
    c.finish().unwrap()
}

fn main() {
    if std::env::var("MODE").is_ok_and(|m| m == "own") {
        return own(&std::env::args().skip(1).collect::<Vec<_>>());
    }
    if std::env::var("MODE").is_ok_and(|m| m == "search") {
        return search::main(&std::env::args().skip(1).collect::<Vec<_>>());
    }
    let kinds: Vec<String> = std::env::var("KINDS").unwrap_or("fast,fast-opt,fast-prog,fast-444-opt,robidoux-opt,msssim-opt,psnrhvs-opt,flat-opt,trellis-annexk,trellis-robidoux,trellis-prog-robidoux".into()).split(',').map(str::to_owned).collect();
    for (shape, text) in [
        ("800", "c_fit,w_800,h_600/q_80,f_jpg"),
        ("400", "c_fit,w_400,h_400/q_80,f_jpg"),
        ("512", "c_fit,w_512,h_512/q_80,f_jpg"),
    ] {
        if std::env::var("SHAPES").is_ok_and(|s| !s.contains(shape)) {
            continue;
        }
        for path in std::env::args().skip(1) {
            let name = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).unwrap();
            let (reference, _) = render(&bytes, text, Profile::Quality, Some(1e6), false);
            let size = reference.size();
            let want = rgb(&reference);
            if let Ok(peer) = std::fs::read(format!("/tmp/q/ox/{name}-{shape}.jpg")) {
                let frame = decode(&peer);
                if frame.size() == size {
                    println!("{shape} {name} oximg 80 {} {:.2} 0", peer.len(), score(size, &want, &rgb(&frame)));
                } else {
                    eprintln!("{name} {shape} sizes {} {}", frame.size(), size);
                }
            }
            for (label, factor) in [
                ("px1.5", 1.5),
                ("px1.75", 1.75),
                ("px2", 2.0),
                ("px2.5", 2.5),
                ("px3", 3.0),
                ("px4", 4.0),
                ("pxfull", 1e6),
            ] {
                let (frame, ms) = render(&bytes, text, Profile::Quality, Some(factor), true);
                let raw = score(size, &want, &rgb(&frame));
                let e = codec::encode(
                    &frame,
                    &Encoding { format: Format::Jpeg, quality: Quality::Fixed(80), chroma: None, progressive: false },
                    &Limits::default(),
                )
                .unwrap()
                .bytes;
                println!(
                    "{shape} {name} {label} 80 {} {:.2} {ms:.2} raw {raw:.2}",
                    e.len(),
                    score(size, &want, &rgb(&decode(&e)))
                );
            }
            for kind in &kinds {
                for q in [70, 75, 80, 85] {
                    let mut ms = f64::MAX;
                    let mut e = Vec::new();
                    for _ in 0..2 {
                        let t = Instant::now();
                        e = encode(&reference, kind, q);
                        ms = ms.min(t.elapsed().as_secs_f64() * 1e3);
                    }
                    println!(
                        "{shape} {name} ref-{kind} {q} {} {:.2} {ms:.2}",
                        e.len(),
                        score(size, &want, &rgb(&decode(&e)))
                    );
                }
            }
        }
    }
}

pub mod search {
    use super::*;
    use mozjpeg::qtable::QTable;
    /// Chroma kernel: symmetric taps outward from the center pair, sums to .5 on each side.
    fn halve(src: &[f32], w: usize, h: usize, k: &[f32]) -> (Vec<f32>, usize, usize) {
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let mut mid = vec![0.0; cw * h];
        for y in 0..h {
            for x in 0..cw {
                let mut s = 0.0;
                for (i, k) in k.iter().enumerate() {
                    let l = (2 * x).saturating_sub(i).min(w - 1);
                    let r = (2 * x + 1 + i).min(w - 1);
                    s += k * (src[y * w + l] + src[y * w + r]);
                }
                mid[y * cw + x] = s;
            }
        }
        let mut out = vec![0.0; cw * ch];
        for y in 0..ch {
            for x in 0..cw {
                let mut s = 0.0;
                for (i, k) in k.iter().enumerate() {
                    let t = (2 * y).saturating_sub(i).min(h - 1);
                    let b = (2 * y + 1 + i).min(h - 1);
                    s += k * (mid[t * cw + x] + mid[b * cw + x]);
                }
                out[y * cw + x] = s;
            }
        }
        (out, cw, ch)
    }
    fn pad(src: &[f32], w: usize, h: usize, block: usize) -> Vec<u8> {
        let (pw, ph) = (w.next_multiple_of(block), h.next_multiple_of(block));
        (0..ph)
            .flat_map(|y| (0..pw).map(move |x| (x, y)))
            .map(|(x, y)| (src[y.min(h - 1) * w + x.min(w - 1)] + 0.5).clamp(0.0, 255.0) as u8)
            .collect()
    }
    pub struct Pic {
        pub size: Size,
        pub want: Vec<u8>,
        pub planes: [Vec<f32>; 3],
    }
    impl Pic {
        pub fn new(frame: &Frame) -> Pic {
            let want = rgb(frame);
            let mut planes = [vec![], vec![], vec![]];
            for p in want.chunks_exact(3) {
                let (r, g, b) = (f32::from(p[0]), f32::from(p[1]), f32::from(p[2]));
                let y = 0.299 * r + 0.587 * g + 0.114 * b;
                planes[0].push(y);
                planes[1].push((b - y) / 1.772 + 128.0);
                planes[2].push((r - y) / 1.402 + 128.0);
            }
            Pic { size: frame.size(), want, planes }
        }
        pub fn coded(&self, kernel: &[f32]) -> [Vec<u8>; 3] {
            let (w, h) = (self.size.width as usize, self.size.height as usize);
            let y = pad(&self.planes[0], w, h, 16);
            let [b, r] = [1, 2].map(|i| {
                let (c, cw, ch) = halve(&self.planes[i], w, h, kernel);
                pad(&c, cw, ch, 8)
            });
            [y, b, r]
        }
    }
    pub fn encode_raw(size: Size, planes: &[Vec<u8>; 3], luma: &[u32; 64], chroma: &[u32; 64], opt: bool) -> Vec<u8> {
        let mut c = Compress::new(ColorSpace::JCS_YCbCr);
        c.set_size(size.width as usize, size.height as usize);
        c.set_fastest_defaults();
        c.set_color_space(ColorSpace::JCS_YCbCr);
        let table = |t: &[u32; 64]| -> QTable { unsafe { std::mem::transmute::<[u32; 64], QTable>(*t) } };
        c.set_luma_qtable(&table(luma));
        c.set_chroma_qtable(&table(chroma));
        c.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
        c.set_raw_data_in(true);
        c.set_optimize_coding(opt);
        let mut c = c.start_compress(Vec::new()).unwrap();
        // luma stride is padded to 8; give exact component strides
        let comps: Vec<(usize, usize)> = c.components().iter().map(|i| (i.row_stride(), i.col_stride())).collect();
        let pw = (size.width as usize).next_multiple_of(16);
        let fit: Vec<Vec<u8>> = planes
            .iter()
            .zip(&comps)
            .enumerate()
            .map(|(i, (p, (rs, _)))| {
                let own = if i == 0 { pw } else { (size.width as usize).div_ceil(2).next_multiple_of(8) };
                if own == *rs { p.clone() } else { p.chunks(own).flat_map(|r| r[..*rs].to_vec()).collect() }
            })
            .collect();
        let rows: Vec<&[u8]> = fit.iter().map(Vec::as_slice).collect();
        assert!(c.write_raw_data(&rows));
        c.finish().unwrap()
    }
    use mozjpeg::CompInfoExt;
    pub fn table(base: &[f32; 64], scale: f32) -> [u32; 64] {
        base.map(|b| (b * scale).round().clamp(1.0, 255.0) as u32)
    }
    pub fn raw_table(t: &QTable) -> [f32; 64] {
        let p = t.as_ptr();
        std::array::from_fn(|i| unsafe { *p.add(i) } as f32)
    }

    /// (mean score, mean ln bytes)
    pub fn eval(pics: &[(&Pic, [Vec<u8>; 3])], l: &[f32; 64], c: &[f32; 64], scale: f32) -> (f64, f64) {
        let (lt, ct) = (table(l, scale), table(c, scale));
        let run = |part: &[(&Pic, [Vec<u8>; 3])]| {
            part.iter()
                .map(|(p, planes)| {
                    let e = encode_raw(p.size, planes, &lt, &ct, true);
                    (score(p.size, &p.want, &rgb(&decode(&e))), (e.len() as f64).ln())
                })
                .fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
        };
        let (a, b) = pics.split_at(pics.len() / 2);
        let (x, y) = std::thread::scope(|s| {
            let t = s.spawn(|| run(a));
            let y = run(b);
            (t.join().unwrap(), y)
        });
        let n = pics.len() as f64;
        ((x.0 + y.0) / n, (x.1 + y.1) / n)
    }
    pub const SLOPE: f64 = 17.0;
    pub fn main(args: &[String]) {
        let width: u32 = std::env::var("W").ok().and_then(|w| w.parse().ok()).unwrap_or(400);
        let pics: Vec<Pic> = args
            .iter()
            .map(|path| {
                let bytes = std::fs::read(path).unwrap();
                Pic::new(
                    &render(
                        &bytes,
                        &format!("b_white,c_fit,w_{width},h_{width}/q_80,f_jpg"),
                        Profile::Quality,
                        Some(4.0),
                        false,
                    )
                    .0,
                )
            })
            .collect();
        let bases: Vec<(&str, [f32; 64], [f32; 64])> = vec![
            ("annexk", raw_table(&qtable::AnnexK_Luma), raw_table(&qtable::AnnexK_Chroma)),
            ("msssim", raw_table(&qtable::MSSSIM_Luma), raw_table(&qtable::MSSSIM_Chroma)),
            ("psnrhvs", raw_table(&qtable::PSNRHVS_Luma), raw_table(&qtable::PSNRHVS_Chroma)),
            ("robidoux", raw_table(&qtable::NRobidoux), raw_table(&qtable::NRobidoux)),
        ];
        let kernels: Vec<(&str, Vec<f32>)> = vec![
            ("box", vec![0.5]),
            ("k1", vec![0.5625, -0.0625]),
            ("k2", vec![0.625, -0.125]),
            ("k3", vec![0.6, -0.07, -0.03]),
            ("k4", vec![0.6875, -0.1875]),
            ("k5", vec![0.65, -0.12, -0.05, 0.02]),
            ("ls", vec![0.6667, 0.0, -0.2222, 0.0, 0.0741, 0.0, -0.0186]),
            ("ls2", vec![0.66, -0.05, -0.15, 0.0, 0.04]),
            ("k6", vec![0.68, -0.10, -0.10, 0.02]),
            ("k7", vec![0.72, -0.20, -0.05, 0.03]),
            ("tri", vec![0.375, 0.125]),
        ];
        let reference = |pics: &[(&Pic, [Vec<u8>; 3])]| eval(pics, &bases[0].1, &bases[0].2, 0.4);
        let boxed: Vec<_> = pics.iter().map(|p| (p, p.coded(&[0.5]))).collect();
        let r = reference(&boxed);
        println!("annexk q80: {:.3} {:.4}", r.0, r.1);
        let gain = |v: (f64, f64)| (v.0 - r.0) - SLOPE * (v.1 - r.1);
        if std::env::var("SEARCH").is_err() {
            for (name, k) in &kernels {
                let coded: Vec<_> = pics.iter().map(|p| (p, p.coded(k))).collect();
                let v = reference(&coded);
                println!("kernel {name}: {:.3} {:.4} gain {:.3}", v.0, v.1, gain(v));
            }
            for (name, l, c) in &bases {
                for s in [0.3, 0.4, 0.5] {
                    let v = eval(&boxed, l, c, s);
                    println!("base {name} x{s}: {:.3} {:.4} gain {:.3}", v.0, v.1, gain(v));
                }
            }
            for cs in [0.5, 0.7, 1.4, 2.0] {
                let c = bases[1].2.map(|v| v * cs);
                let v = eval(&boxed, &bases[1].1, &c, 0.4);
                println!("msssim chroma x{cs}: {:.3} {:.4} gain {:.3}", v.0, v.1, gain(v));
            }
            return;
        }
        let kernel: Vec<f32> =
            std::env::var("KERNEL").map(|k| k.split(',').map(|v| v.parse().unwrap()).collect()).unwrap_or(vec![0.5]);
        let coded: Vec<_> = pics.iter().map(|p| (p, p.coded(&kernel))).collect();
        let scale: f32 = std::env::var("SCALE").ok().and_then(|w| w.parse().ok()).unwrap_or(0.4);
        let mut knots = [
            [8.0_f32, 14.0, 20.0, 34.0, 40.0, 45.0, 50.0, 70.0, 80.0, 1.0],
            [8.0, 14.0, 18.0, 30.0, 40.0, 60.0, 90.0, 99.0, 99.0, 1.0],
        ];
        if let Ok(k) = std::env::var("KNOTS") {
            let v: Vec<f32> = k.split(',').map(|v| v.parse().unwrap()).collect();
            for p in 0..2 {
                for i in 0..10 {
                    knots[p][i] = v[p * 10 + i];
                }
            }
        }
        let mut best = gain(eval(&coded, &radial(&knots[0]), &radial(&knots[1]), scale));
        println!("start {best:.3}");
        if std::env::var("ONLY").is_ok() {
            let v = eval(&coded, &radial(&knots[0]), &radial(&knots[1]), scale);
            println!("{:.3} {:.4}", v.0, v.1);
            return;
        }
        let mut step: f32 = 1.25;
        for round in 0..4 {
            for plane in 0..2 {
                for i in 0..10 {
                    for dir in [step, 1.0 / step] {
                        loop {
                            let mut t = knots;
                            t[plane][i] *= dir;
                            let g = gain(eval(&coded, &radial(&t[0]), &radial(&t[1]), scale));
                            if g > best + 0.004 {
                                best = g;
                                knots = t;
                                println!("round {round} plane {plane} knot {i} x{dir:.3}: {g:.3}");
                            } else {
                                break;
                            }
                        }
                    }
                }
            }
            step = 1.0 + (step - 1.0) / 1.7;
            println!("KNOTS={}", knots.iter().flatten().map(|v| format!("{v:.2}")).collect::<Vec<_>>().join(","));
        }
        for t in &knots {
            for r in radial(t).chunks(8) {
                println!("{}", r.iter().map(|v| format!("{v:.1}")).collect::<Vec<_>>().join(", "));
            }
            println!();
        }
    }
    const AT: [f32; 9] = [0.0, 1.0, 1.4143, 2.0, 3.0, 4.0, 5.0, 7.0, 9.9];
    fn radial(k: &[f32; 10]) -> [f32; 64] {
        std::array::from_fn(|i| {
            let (u, v) = ((i / 8) as f32, (i % 8) as f32);
            let d = (u * u + v * v).sqrt();
            let diagonal = if d > 0.0 { 1.0 + (k[9] - 1.0) * (2.0 * u * v / (d * d)) } else { 1.0 };
            let j = AT.iter().rposition(|a| d >= *a - 0.001).unwrap().min(7);
            let t = ((d - AT[j]) / (AT[j + 1] - AT[j])).clamp(0.0, 1.0);
            (k[j] + (k[j + 1] - k[j]) * t) * diagonal
        })
    }
}
