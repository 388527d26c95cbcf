//! Our own JPEG decoder against the other one, and planes resampled against pixels resampled.

use crate::oracle;
use std::path::Path;
use std::sync::Arc;
use tintype_render::Limits;
use tintype_render::backend::{Job, Output, Source};
use tintype_render::codec::{self, decode, decode_planes, encode};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format};
use tintype_render::plan::bind::{BoundPlan, Chroma, Decoded, Kernel};
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::{Demand, Filter, Light, SurfaceId};
use tintype_render::plan::weights::{Axis, Weights};
use tintype_render::plan::{Encoding, Quality};
use tintype_render::planes::{Planes, Subsampling};

fn photo() -> Frame {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples/rocket.jpg");
    let bytes = std::fs::read(path).unwrap();
    let size = codec::probe(&bytes, &Limits::default()).unwrap().size;
    decode(&bytes, &whole(size), &Limits::default()).unwrap().0
}

fn whole(size: Size) -> Demand {
    Demand { size, scale: 1.0, region: Rect::whole(size) }
}

/// The upper left part of a picture.
fn part(frame: &Frame, size: Size) -> Frame {
    let width = size.width as usize * 4;
    let rows = (0..size.height).flat_map(|y| frame.row(y)[..width].to_vec()).collect();
    Frame::new(size, false, rows).unwrap()
}

fn jpeg(frame: &Frame, quality: u8, chroma: ChromaSampling, progressive: bool) -> Vec<u8> {
    let encoding =
        Encoding { format: Format::Jpeg, quality: Quality::Fixed(quality), chroma: Some(chroma), progressive };
    encode(frame, &encoding, &Limits::default()).unwrap().bytes
}

fn planes(bytes: &[u8], demand: &Demand) -> Option<(Planes, Decoded)> {
    decode_planes(bytes, demand, &Limits::default()).unwrap()
}

/// Greatest and mean difference of a byte.
fn differences(a: &Frame, b: &Frame) -> (u8, f64) {
    assert_eq!(a.size(), b.size());
    let each = a.pixels().iter().zip(b.pixels()).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = each.clone().map(u64::from).sum();
    (each.max().unwrap(), sum as f64 / a.pixels().len() as f64)
}

#[test]
fn whole_pictures_are_those_of_the_other_decoder() {
    let photo = photo();
    for (width, height) in [(640, 427), (33, 17), (16, 16), (1, 1), (7, 50), (129, 8)] {
        let frame = part(&photo, Size::new(width, height));
        for quality in [20, 75, 96] {
            for chroma in [ChromaSampling::Half, ChromaSampling::Full] {
                let bytes = jpeg(&frame, quality, chroma, false);
                let (planes, given) = planes(&bytes, &whole(frame.size())).expect("our decoder reads it");
                assert_eq!(given.full, frame.size());
                let expected = decode(&bytes, &whole(frame.size()), &Limits::default()).unwrap().0;
                let (most, mean) = differences(&planes.to_frame(), &expected);
                // Both round, and ours interpolates chroma before it rounds.
                assert!(most <= 4 && mean < 0.6, "{width}x{height} q{quality} {chroma:?}: {most}, {mean}");
            }
        }
    }
}

/// What an N-point transform of the lowest coefficients should give, from the samples of the whole block in f64.
fn reduced_block(samples: &[[f64; 8]; 8], n: usize) -> Vec<Vec<f64>> {
    let factor = |points: usize, k: usize, x: usize| {
        let angle = (2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / (2 * points) as f64;
        angle.cos() * if k == 0 { (1.0 / 8.0_f64).sqrt() } else { 0.5 }
    };
    let mut coefficients = [[0.0; 8]; 8];
    for (v, row) in coefficients.iter_mut().enumerate() {
        for (u, coefficient) in row.iter_mut().enumerate() {
            for (y, samples) in samples.iter().enumerate() {
                for (x, sample) in samples.iter().enumerate() {
                    *coefficient += sample * factor(8, v, y) * factor(8, u, x);
                }
            }
        }
    }
    let sum = |y, x| {
        let each = (0..n).flat_map(|v| (0..n).map(move |u| (v, u)));
        each.map(|(v, u)| coefficients[v][u] * factor(n, v, y) * factor(n, u, x)).sum()
    };
    (0..n).map(|y| (0..n).map(|x| sum(y, x)).collect()).collect()
}

#[test]
fn reduced_blocks_are_those_of_the_formula() {
    let frame = part(&photo(), Size::new(200, 120));
    let bytes = jpeg(&frame, 97, ChromaSampling::Full, false);
    let full = planes(&bytes, &whole(frame.size())).unwrap().0;
    for n in 1..=7_u32 {
        // Few eighths are only taken for less of them.
        let scale = [0.05, 0.14, f64::from(n) / 8.0][n.min(3) as usize - 1];
        let demand = Demand { scale, ..whole(frame.size()) };
        let (reduced, given) = planes(&bytes, &demand).unwrap();
        assert_eq!((given.eighths, reduced.size()), (n, Size::new(25 * n, 15 * n)));
        let (mut worst, mut total) = (0.0_f64, 0.0);
        for block in 0..15 * 25 {
            let (left, top) = (block % 25, block / 25);
            let row = |y: u32| std::array::from_fn(|x| f64::from(full.luma().row(top * 8 + y)[left as usize * 8 + x]));
            let expected = reduced_block(&std::array::from_fn(|y| row(y as u32)), n as usize);
            for (y, expected) in expected.iter().enumerate() {
                for (x, expected) in expected.iter().enumerate() {
                    let got = reduced.luma().row(top * n + y as u32)[(left * n) as usize + x];
                    let difference = (f64::from(got) - expected.clamp(0.0, 255.0)).abs();
                    worst = worst.max(difference);
                    total += difference;
                }
            }
        }
        // The whole blocks were rounded and clamped to bytes, which the formula then sees.
        let mean = total / f64::from(15 * 25 * n * n);
        assert!(worst < 3.5 && mean < 0.5, "{n}/8: {worst}, {mean}");
    }
}

/// The file that mozjpeg makes of the coefficients of its progressive one, in one scan.
fn sequential(frame: &Frame, quality: u8, chroma: ChromaSampling) -> Vec<u8> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_EXT_RGBX);
    encoder.set_size(frame.size().width as usize, frame.size().height as usize);
    encoder.set_fastest_defaults();
    encoder.set_color_space(mozjpeg::ColorSpace::JCS_YCbCr);
    encoder.set_quality(f32::from(quality));
    let pixel = if chroma == ChromaSampling::Half { (2, 2) } else { (1, 1) };
    encoder.set_chroma_sampling_pixel_sizes(pixel, pixel);
    let mut encoder = encoder.start_compress(Vec::new()).unwrap();
    encoder.write_scanlines(frame.pixels()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn progressive_pictures_are_those_of_the_other_decoder() {
    let photo = photo();
    for (width, height) in [(640, 427), (33, 17), (16, 16), (1, 1), (7, 50), (129, 8)] {
        let frame = part(&photo, Size::new(width, height));
        for (quality, chroma) in [(30, ChromaSampling::Half), (85, ChromaSampling::Half), (96, ChromaSampling::Full)] {
            let bytes = jpeg(&frame, quality, chroma, true);
            let expected = decode(&bytes, &whole(frame.size()), &Limits::default()).unwrap().0;
            let (found, _) = planes(&bytes, &whole(frame.size())).expect("our decoder reads it");
            let (most, mean) = differences(&found.to_frame(), &expected);
            assert!(most <= 4 && mean < 0.6, "{width}x{height} q{quality} {chroma:?}: {most}, {mean}");
            // The same picture with its coefficients in one scan gives the same samples at every scale.
            let plain = sequential(&frame, quality, chroma);
            for scale in [0.05, 0.14, 0.25, 0.5, 0.7] {
                let demand = Demand { scale, ..whole(frame.size()) };
                let (scans, plain) = (planes(&bytes, &demand).unwrap(), planes(&plain, &demand).unwrap());
                assert_eq!(scans.1, plain.1);
                for (a, b) in scans.0.into_planes().iter().zip(&plain.0.into_planes()) {
                    // Half a step may be rounded either way.
                    let most = a.samples().iter().zip(b.samples()).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(most <= Some(1), "{width}x{height} q{quality} at {scale}: {most:?}");
                }
            }
        }
    }
}

#[test]
fn a_region_is_cut_out_of_the_same_picture() {
    let frame = part(&photo(), Size::new(403, 299));
    let bytes = jpeg(&frame, 85, ChromaSampling::Half, false);
    for scale in [1.0, 0.5, 0.3, 0.06] {
        let all = planes(&bytes, &Demand { scale, ..whole(frame.size()) }).unwrap();
        for region in [Rect::new(200, 150, 3, 2), Rect::new(0, 290, 403, 9), Rect::new(390, 0, 13, 13)] {
            let (planes, given) = planes(&bytes, &Demand { size: frame.size(), scale, region }).unwrap();
            assert_eq!(given.full, all.1.full);
            let wanted = |at: u32| f64::from(at) * f64::from(given.eighths) / 8.0;
            let window = given.window;
            assert!(f64::from(window.x) <= wanted(region.x) && f64::from(window.y) <= wanted(region.y));
            assert!(f64::from(window.right()) >= wanted(region.right()).floor());
            assert!(f64::from(window.bottom()) >= wanted(region.bottom()).floor());
            let (width, left) = (window.width as usize, window.x as usize);
            for y in 0..window.height {
                assert_eq!(planes.luma().row(y), &all.0.luma().row(window.y + y)[left..left + width]);
            }
            let (chroma, entire) = (planes.chroma().unwrap(), all.0.chroma().unwrap());
            for (chroma, entire) in chroma.iter().zip(entire) {
                let (width, left) = (chroma.size().width as usize, left / 2);
                for y in 0..chroma.size().height {
                    assert_eq!(chroma.row(y), &entire.row(window.y / 2 + y)[left..left + width]);
                }
            }
        }
    }
}

/// The scan of a file again with a restart marker after every `interval` units; only for one unit's worth of scan.
#[test]
fn restart_markers_and_optimised_tables_are_read() {
    let frame = part(&photo(), Size::new(100, 70));
    for (interval, optimise, chroma) in [(1, false, (2, 2)), (3, true, (2, 1)), (7, true, (1, 1)), (0, true, (1, 2))] {
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_EXT_RGBX);
        encoder.set_size(100, 70);
        encoder.set_fastest_defaults();
        encoder.set_color_space(mozjpeg::ColorSpace::JCS_YCbCr);
        encoder.set_quality(88.0);
        encoder.set_optimize_coding(optimise);
        encoder.set_chroma_sampling_pixel_sizes(chroma, chroma);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        encoder.write_scanlines(frame.pixels()).unwrap();
        let plain = encoder.finish().unwrap();
        let bytes = if interval == 0 { plain.clone() } else { restarted(&plain, interval, &frame, optimise, chroma) };
        let (planes, _) = planes(&bytes, &whole(frame.size())).expect("our decoder reads it");
        let expected = decode(&bytes, &whole(frame.size()), &Limits::default()).unwrap().0;
        let (most, mean) = differences(&planes.to_frame(), &expected);
        assert!(most <= 6 && mean < 0.7, "every {interval}: {most}, {mean}");
    }
}

/// The same picture with restart markers.
fn restarted(plain: &[u8], interval: u16, frame: &Frame, optimise: bool, chroma: (u8, u8)) -> Vec<u8> {
    use mozjpeg_sys as ffi;
    let mut bytes: *mut u8 = std::ptr::null_mut();
    let mut length = 0;
    // Safety: as libjpeg documents its calls; every struct lives until the compressor is destroyed.
    unsafe {
        let mut errors: ffi::jpeg_error_mgr = std::mem::zeroed();
        let mut info: ffi::jpeg_compress_struct = std::mem::zeroed();
        info.common.err = ffi::jpeg_std_error(&mut errors);
        ffi::jpeg_create_compress(&mut info);
        ffi::jpeg_mem_dest(&mut info, &mut bytes, &mut length);
        (info.image_width, info.image_height) = (frame.size().width, frame.size().height);
        (info.input_components, info.in_color_space) = (4, ffi::J_COLOR_SPACE::JCS_EXT_RGBX);
        ffi::jpeg_c_set_int_param(
            &mut info,
            ffi::J_INT_PARAM::JINT_COMPRESS_PROFILE,
            ffi::JINT_COMPRESS_PROFILE_VALUE::JCP_FASTEST as i32,
        );
        ffi::jpeg_set_defaults(&mut info);
        ffi::jpeg_set_quality(&mut info, 88, 1);
        info.restart_interval = interval.into();
        info.optimize_coding = optimise.into();
        (*info.comp_info).h_samp_factor = chroma.0.into();
        (*info.comp_info).v_samp_factor = chroma.1.into();
        ffi::jpeg_start_compress(&mut info, 1);
        for y in 0..frame.size().height {
            let row = frame.row(y).as_ptr();
            ffi::jpeg_write_scanlines(&mut info, &row, 1);
        }
        ffi::jpeg_finish_compress(&mut info);
        let file = std::slice::from_raw_parts(bytes, length as usize).to_vec();
        ffi::jpeg_destroy_compress(&mut info);
        assert!(file.windows(2).any(|pair| pair == [0xFF, 0xD0]), "no markers among {} bytes", plain.len());
        file
    }
}

#[test]
fn grey_pictures_have_no_chroma_and_stay_grey() {
    let frame = part(&photo(), Size::new(90, 61));
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_EXT_RGBX);
    encoder.set_size(90, 61);
    encoder.set_fastest_defaults();
    encoder.set_color_space(mozjpeg::ColorSpace::JCS_GRAYSCALE);
    encoder.set_quality(90.0);
    let mut encoder = encoder.start_compress(Vec::new()).unwrap();
    encoder.write_scanlines(frame.pixels()).unwrap();
    let bytes = encoder.finish().unwrap();
    let (planes, given) = planes(&bytes, &whole(frame.size())).unwrap();
    assert!(planes.chroma().is_none());
    let expected = decode(&bytes, &whole(frame.size()), &Limits::default()).unwrap().0;
    assert!(differences(&planes.to_frame(), &expected).0 <= 1);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(80), chroma: None, progressive: false };
    let job = job(planes, given, Size::new(45, 30), Light::Encoded, Some(Subsampling::HALF));
    let Output::Planar(small) = CpuBackend::new().run(&job).unwrap() else { panic!("it did not stay in planes") };
    let small = codec::encode_planes(small, &encoding).unwrap().bytes;
    let found = decode(&small, &whole(Size::new(45, 30)), &Limits::default()).unwrap().0;
    assert!(found.pixels().as_chunks::<4>().0.iter().all(|[r, g, b, _]| r == g && g == b));
}

#[test]
fn what_is_unusual_or_damaged_is_left_to_the_other_decoder() {
    let frame = part(&photo(), Size::new(120, 90));
    let demand = whole(frame.size());
    let plain = jpeg(&frame, 80, ChromaSampling::Half, false);
    assert!(planes(&plain, &whole(Size::new(121, 90))).is_none(), "another size than expected");
    // The whole of a picture is never made of a part of its file.
    let scans = jpeg(&frame, 80, ChromaSampling::Half, true);
    for file in [&plain, &scans] {
        for length in (0..file.len() - 2).rev().step_by(7) {
            assert!(planes(&file[..length], &demand).is_none(), "{length} of {} bytes", file.len());
        }
    }
    // Any byte may be anything; what comes out has the size that was asked for.
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut read = 0;
    for round in 0..6000 {
        let mut damaged = if round % 2 == 0 { plain.clone() } else { scans.clone() };
        for _ in 0..1 + next(3) {
            let at = next(damaged.len());
            damaged[at] = next(256) as u8;
        }
        let scale = [1.0, 0.5, 0.25, 0.06][next(4)];
        if let Ok(Some((planes, given))) =
            decode_planes(&damaged, &Demand { scale, ..demand.clone() }, &Limits::default())
        {
            assert_eq!(planes.size(), given.window.size());
            read += 1;
        }
    }
    assert!(read > 200, "hardly anything was read at all: {read}");
}

fn axis(input: u32, scaled: u32) -> Axis {
    Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length: scaled,
        window_start: 0,
        window_length: scaled,
    }
}

/// One resampling of planes to `size`.
fn job(planes: Planes, given: Decoded, size: Size, light: Light, output: Option<Subsampling>) -> Job {
    let filter = Filter::Lanczos3;
    let (across, down) = (axis(given.full.width, size.width), axis(given.full.height, size.height));
    let (horizontal, vertical) = (across.weights(filter), down.weights(filter));
    let inside = planes.subsampling();
    let small = inside.apply(planes.size());
    let (chroma_across, chroma_down): (Weights, Weights) = match output {
        Some(outside) => (
            across.chroma_weights(filter, inside.across, outside.across),
            down.chroma_weights(filter, inside.down, outside.down),
        ),
        None => (horizontal.over_chroma(inside.across, small.width), vertical.over_chroma(inside.down, small.height)),
    };
    let chroma = Chroma { horizontal: chroma_across, vertical: chroma_down, output };
    let plan = BoundPlan {
        sizes: vec![planes.size(), size],
        kernels: vec![
            Kernel::Load { source: 0 },
            Kernel::Resample {
                input: SurfaceId(0),
                horizontal: Arc::new(horizontal),
                vertical: Arc::new(vertical),
                light,
                chroma: Some(Arc::new(chroma)),
            },
        ],
        alphas: vec![false, false],
        output: SurfaceId(1),
    };
    Job { plan: Arc::new(plan), sources: vec![Source::Planar(Arc::new(planes))] }
}

#[test]
fn resampled_planes_are_resampled_pixels() {
    // Nothing near black or white: planes are clamped after the resampling, the oracle's pixels before.
    let mut photo = photo();
    photo.pixels_mut().as_chunks_mut::<4>().0.iter_mut().for_each(|[r, g, b, _]| {
        for channel in [r, g, b] {
            *channel = 48 + *channel / 8 * 5;
        }
    });
    for (from, to, chroma) in [
        (Size::new(160, 120), Size::new(80, 60), ChromaSampling::Half),
        (Size::new(161, 119), Size::new(47, 33), ChromaSampling::Half),
        (Size::new(75, 90), Size::new(70, 111), ChromaSampling::Full),
        (Size::new(9, 31), Size::new(40, 5), ChromaSampling::Half),
        (Size::new(64, 2), Size::new(3, 1), ChromaSampling::Half),
    ] {
        let bytes = jpeg(&part(&photo, from), 92, chroma, false);
        let (planes, given) = planes(&bytes, &whole(from)).unwrap();
        for light in [Light::Encoded, Light::Linear] {
            let job = job(planes.clone(), given, to, light, None);
            let pixels = planes.to_frame();
            let expected = oracle::resample(&pixels, &axis(from.width, to.width), &axis(from.height, to.height), light);
            for backend in [CpuBackend::new(), CpuBackend::portable()] {
                let got = backend.run(&job).unwrap().into_frame();
                let (most, mean) = differences(&got, &expected);
                // The oracle starts from pixels that were rounded.
                assert!(most <= 2 && mean < 0.3, "{from} to {to} {light:?}: {most}, {mean}");
            }
        }
    }
}

#[test]
fn planes_that_stay_planes_show_the_same_picture() {
    let photo = photo();
    for (from, to, chroma, output) in [
        (Size::new(320, 240), Size::new(160, 120), ChromaSampling::Half, Subsampling::HALF),
        (Size::new(321, 243), Size::new(107, 77), ChromaSampling::Half, Subsampling::HALF),
        (Size::new(200, 100), Size::new(100, 50), ChromaSampling::Full, Subsampling::HALF),
        (Size::new(200, 100), Size::new(131, 61), ChromaSampling::Half, Subsampling::NONE),
    ] {
        let bytes = jpeg(&part(&photo, from), 92, chroma, false);
        let (planes, given) = planes(&bytes, &whole(from)).unwrap();
        let kept = job(planes.clone(), given, to, Light::Encoded, Some(output));
        let pixels = job(planes, given, to, Light::Encoded, None);
        let expected = CpuBackend::new().run(&pixels).unwrap().into_frame();
        for backend in [CpuBackend::new(), CpuBackend::portable()] {
            let Output::Planar(planes) = backend.run(&kept).unwrap() else { panic!("it did not stay in planes") };
            assert_eq!((planes.size(), planes.subsampling()), (to, output));
            let (_, mean) = differences(&planes.to_frame(), &expected);
            assert!(mean < 1.2, "{from} to {to}: {mean}");
            let encoding =
                Encoding { format: Format::Jpeg, quality: Quality::Fixed(95), chroma: None, progressive: false };
            let file = codec::encode_planes(planes, &encoding).unwrap().bytes;
            let (_, mean) = differences(&decode(&file, &whole(to), &Limits::default()).unwrap().0, &expected);
            assert!(mean < 1.8, "{from} to {to}, encoded: {mean}");
        }
    }
}
