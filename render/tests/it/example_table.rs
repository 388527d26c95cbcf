//! The rows of the specification's example table that apply, on sources in which every pixel says where it is.
//!
//! Two sources are used, one that codes x and one that codes y. Red is a ramp over the whole side; green is a triangle
//! wave of 64 output pixels, which tells the position within a wave to a fraction of a pixel. Both survive resampling in
//! encoded light. So the picture alone proves what was cut, scaled and placed, without trusting the planner.

use crate::support::{Case, render_with_facts};
use tintype_render::frame::Frame;
use tintype_render::plan::geometry::{RectF, Size};

/// Output pixels (or source pixels, whichever are larger) per wave of the green channel.
const WAVE: f64 = 64.0;
/// How far a found position may be from the expected one, in such pixels: two steps of 1/255 on half a wave are 0.25,
/// which leaves half a pixel as the least mistake that is found.
const TOLERANCE_PX: f64 = 0.45;

/// A picture whose pixels hold their own coordinate along one axis.
fn coded(size: Size, vertical: bool, wave_px: f64) -> Frame {
    let length = f64::from(if vertical { size.height } else { size.width });
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let at = f64::from(if vertical { y } else { x }) + 0.5;
            let ramp = (at / length * 255.0).round() as u8;
            let phase = (at / wave_px).fract();
            let wave = ((1.0 - (2.0 * phase - 1.0).abs()) * 255.0).round() as u8;
            pixels.extend_from_slice(&[ramp, wave, 128, 255]);
        }
    }
    Frame::new(size, false, pixels).expect("sized")
}

/// The coordinate that a pixel of a coded picture holds; none near the turning points of the wave.
fn decode(pixel: [u8; 4], length: f64, wave_px: f64) -> Option<f64> {
    let coarse = f64::from(pixel[0]) / 255.0 * length;
    let wave = f64::from(pixel[1]) / 255.0;
    if !(0.1..=0.9).contains(&wave) {
        return None;
    }
    let rising = wave / 2.0;
    let base = (coarse / wave_px).floor() - 1.0;
    (0..3)
        .flat_map(|k| [rising, 1.0 - rising].map(|phase| (base + f64::from(k) + phase) * wave_px))
        .min_by(|a, b| (a - coarse).abs().total_cmp(&(b - coarse).abs()))
}

/// Output pixel `at` (center) along one axis shows source position `(at + 0.5 + offset) / scale`.
struct Axis {
    scale: f64,
    offset: f64,
    length: f64,
}

impl Axis {
    /// Source pixels of one wave.
    fn wave_px(&self) -> f64 {
        WAVE / self.scale.min(1.0)
    }
}

/// `across` is a position along the other axis at which the picture is seen.
fn check_axis(frame: &Frame, vertical: bool, inside: (u32, u32), across: u32, axis: &Axis, name: &str) {
    let mut seen = 0;
    for at in inside.0..inside.1 {
        let (x, y) = if vertical { (across, at) } else { (at, across) };
        let expected = (f64::from(at) + 0.5 + axis.offset) / axis.scale;
        // The wave is bent where it turns and cut at the edges; a filter reaches three output pixels.
        let reach = 3.5 / axis.scale.min(1.0);
        let half = axis.wave_px() / 2.0;
        let phase = (expected / half).fract() * half;
        if phase < reach || phase > half - reach || expected < reach || expected > axis.length - reach {
            continue;
        }
        let Some(found) = decode(frame.pixel(x, y), axis.length, axis.wave_px()) else { continue };
        assert!(
            ((found - expected) * axis.scale.min(1.0)).abs() <= TOLERANCE_PX,
            "{name}: output {at} shows {found:.2}, expected {expected:.2}"
        );
        seen += 1;
    }
    assert!(seen > 0, "{name}: no pixel told where it is");
}

const P1280: Size = Size::new(1280, 853);
const P640: Size = Size::new(640, 427);
const P100: Size = Size::new(100, 67);
const S864: Size = Size::new(864, 576);
const V400: Size = Size::new(400, 600);
const F1200: Size = Size::new(1200, 800);

/// One row: source, transformation, size of the result, size of the whole source in output pixels, and the offset of the
/// window in it (negative: where the picture lies on its canvas).
type Row = (u32, Size, &'static str, (u32, u32), (f64, f64), (f64, f64));

const ROWS: &[Row] = &[
    (1, P1280, "c_scale,w_150", (150, 100), (150.0, 100.0), (0.0, 0.0)),
    (2, P1280, "c_scale,h_150", (225, 150), (225.0, 150.0), (0.0, 0.0)),
    (3, P1280, "w_300,h_300", (300, 300), (300.0, 300.0), (0.0, 0.0)),
    (4, P640, "c_scale,w_0.5", (320, 214), (320.0, 214.0), (0.0, 0.0)),
    (5, P640, "c_scale,h_0.3", (192, 128), (192.0, 128.0), (0.0, 0.0)),
    (6, P640, "c_scale,w_1.5", (960, 641), (960.0, 641.0), (0.0, 0.0)),
    (7, P640, "c_scale,fl_ignore_aspect_ratio,h_150", (640, 150), (640.0, 150.0), (0.0, 0.0)),
    (8, P640, "c_scale,w_1.0", (640, 427), (640.0, 427.0), (0.0, 0.0)),
    (9, P1280, "c_scale,w_500/c_scale,w_iw", (1280, 852), (1280.0, 852.0), (0.0, 0.0)),
    (10, P1280, "c_scale,w_500/c_scale,w_0.5", (250, 167), (250.0, 167.0), (0.0, 0.0)),
    (11, P1280, "c_fit,h_150,w_150", (150, 100), (150.0, 100.0), (0.0, 0.0)),
    (12, V400, "c_fit,h_300,w_300", (200, 300), (200.0, 300.0), (0.0, 0.0)),
    (13, P100, "c_fit,h_300,w_300", (300, 201), (300.0, 201.0), (0.0, 0.0)),
    (14, P1280, "c_limit,h_1000,w_1000", (1000, 666), (1000.0, 666.0), (0.0, 0.0)),
    (15, P100, "c_limit,h_300,w_300", (100, 67), (100.0, 67.0), (0.0, 0.0)),
    (16, P640, "c_mfit,h_20,w_20", (640, 427), (640.0, 427.0), (0.0, 0.0)),
    (17, P100, "c_mfit,h_150,w_150", (150, 101), (150.0, 101.0), (0.0, 0.0)),
    (18, P1280, "c_fill,h_250,w_250", (250, 250), (375.0, 250.0), (62.0, 0.0)),
    (19, P1280, "ar_1.0,c_fill,g_north_east,w_250", (250, 250), (375.0, 250.0), (125.0, 0.0)),
    (20, P1280, "c_fill,g_west,h_250,w_250", (250, 250), (375.0, 250.0), (0.0, 0.0)),
    (21, V400, "c_fill,h_100,w_200", (200, 100), (200.0, 300.0), (0.0, 100.0)),
    (22, V400, "c_fill,g_south,h_100,w_200", (200, 100), (200.0, 300.0), (0.0, 200.0)),
    (23, P1280, "c_fill,h_150,w_400", (400, 150), (400.0, 267.0), (0.0, 58.0)),
    (24, P640, "ar_16:9,c_fill,w_480", (480, 270), (480.0, 320.0), (0.0, 25.0)),
    (25, P640, "c_fill,w_300", (300, 200), (300.0, 200.0), (0.0, 0.0)),
    (26, P100, "c_fill,h_300,w_300", (300, 300), (448.0, 300.0), (74.0, 0.0)),
    (27, P100, "c_lfill,h_150,w_150", (100, 67), (100.0, 67.0), (0.0, 0.0)),
    (28, P640, "c_lfill,h_300,w_300", (300, 300), (450.0, 300.0), (75.0, 0.0)),
    (29, P640, "c_lfill,h_800,w_300", (300, 427), (640.0, 427.0), (170.0, 0.0)),
    (30, P640, "b_black,c_pad,h_150,w_150", (150, 150), (150.0, 100.0), (0.0, -25.0)),
    (31, P1280, "b_brown,c_pad,h_250,w_250", (250, 250), (250.0, 167.0), (0.0, -41.0)),
    (32, V400, "c_pad,g_west,h_300,w_500", (500, 300), (200.0, 300.0), (0.0, 0.0)),
    (32, V400, "c_pad,h_300,w_500", (500, 300), (200.0, 300.0), (-150.0, 0.0)),
    (33, P1280, "ar_2:1,b_brown,c_pad,h_150", (300, 150), (225.0, 150.0), (-37.0, 0.0)),
    (34, P100, "c_pad,h_150,w_150", (150, 150), (150.0, 101.0), (0.0, -24.0)),
    (35, P100, "c_lpad,h_150,w_150", (150, 150), (100.0, 67.0), (-25.0, -41.0)),
    (36, P640, "b_green,c_lpad,h_150,w_400", (400, 150), (225.0, 150.0), (-87.0, 0.0)),
    (37, P640, "ar_1.0,b_green,c_lpad,w_1.1", (704, 704), (640.0, 427.0), (-32.0, -138.0)),
    (38, P640, "c_mpad,h_20,w_20", (640, 427), (640.0, 427.0), (0.0, 0.0)),
    (39, P100, "b_green,c_mpad,h_150,w_150", (150, 150), (100.0, 67.0), (-25.0, -41.0)),
    (40, P640, "c_mpad,h_600,w_300", (640, 600), (640.0, 427.0), (0.0, -86.0)),
    (41, P640, "c_crop,h_200,w_200", (200, 200), (640.0, 427.0), (220.0, 113.0)),
    (42, P640, "c_crop,h_150,w_150,x_80,y_30", (150, 150), (640.0, 427.0), (80.0, 30.0)),
    (43, P640, "c_crop,g_south,h_150,w_200", (200, 150), (640.0, 427.0), (220.0, 277.0)),
    (44, P640, "c_crop,g_south_east,h_100,w_100,x_10,y_20", (100, 100), (640.0, 427.0), (530.0, 307.0)),
    (45, P640, "c_crop,h_0.5,w_0.25,x_0.5,y_0.5", (160, 213), (640.0, 427.0), (320.0, 214.0)),
    (46, V400, "c_crop,w_200", (200, 300), (400.0, 600.0), (100.0, 150.0)),
    (47, P640, "c_crop,h_1000,w_1000", (640, 427), (640.0, 427.0), (0.0, 0.0)),
    (48, P640, "ar_1.5,c_crop", (640, 427), (640.0, 427.0), (0.0, 0.0)),
    (49, P1280, "ar_16:9,c_crop", (1280, 720), (1280.0, 853.0), (0.0, 66.0)),
    (50, P640, "c_crop,g_xy_center,h_100,w_100,x_200,y_100", (100, 100), (640.0, 427.0), (150.0, 50.0)),
    (51, F1200, "c_crop,g_face,h_350,w_400", (400, 350), (1200.0, 800.0), (360.0, 105.0)),
    (52, F1200, "c_crop,g_face", (120, 160), (1200.0, 800.0), (500.0, 200.0)),
    (52, F1200, "c_crop,g_face,z_0.8", (150, 200), (1200.0, 800.0), (485.0, 180.0)),
    (53, F1200, "c_thumb,g_face,h_150,w_150", (150, 150), (1125.0, 750.0), (450.0, 187.5)),
    (54, F1200, "c_thumb,g_face,h_150,w_150,z_0.75", (150, 150), (843.75, 562.5), (318.75, 121.875)),
    (55, S864, "c_thumb,g_face,h_200,w_200", (200, 200), (300.0, 200.0), (50.0, 0.0)),
    (58, P1280, "c_scale,h_150/dpr_2.0", (450, 300), (450.0, 300.0), (0.0, 0.0)),
    (59, P640, "c_limit,dpr_2.0,w_500", (640, 427), (640.0, 427.0), (0.0, 0.0)),
    (68, P640, "a_360", (640, 427), (640.0, 427.0), (0.0, 0.0)),
];

#[test]
fn sizes_and_positions_are_those_of_the_example_table() {
    for (row, source, text, size, scaled, offset) in ROWS {
        let name = format!("row {row}: {text}");
        for vertical in [false, true] {
            let faces = if *source == F1200 { vec![RectF::new(500.0, 200.0, 120.0, 160.0)] } else { vec![] };
            let span = |scaled: f64, offset: f64, side: u32| {
                ((-offset).max(0.0) as u32, (scaled - offset).min(f64::from(side)) as u32)
            };
            let spans = [span(scaled.0, offset.0, size.0), span(scaled.1, offset.1, size.1)];
            let (length, scaled, offset) =
                if vertical { (source.height, scaled.1, offset.1) } else { (source.width, scaled.0, offset.0) };
            let (inside, other) = if vertical { (spans[1], spans[0]) } else { (spans[0], spans[1]) };
            let across = (other.0 + other.1) / 2;
            let axis = Axis { scale: scaled / f64::from(length), offset, length: f64::from(length) };
            let case = Case { faces, ..Case::new(coded(*source, vertical, axis.wave_px()), text) };
            let frame = render_with_facts(&case);
            assert_eq!(frame.size(), Size::new(size.0, size.1), "{name}");
            check_axis(&frame, vertical, inside, across, &axis, &name);
        }
    }
}

#[test]
fn one_pixel_and_all_of_it_are_different_widths() {
    let one = render_with_facts(&Case::new(coded(P640, false, WAVE), "c_scale,w_1"));
    assert_eq!(one.size(), Size::new(1, 1));
}

#[test]
fn turns_move_corners_as_the_table_says() {
    let mut pixels = vec![0_u8; 640 * 427 * 4];
    pixels.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
    pixels[0] = 255;
    let marked = Frame::new(P640, false, pixels).expect("sized");
    for (text, size, corner) in [
        ("a_90", (427, 640), (426, 0)),
        ("a_180", (640, 427), (639, 426)),
        ("a_-90", (427, 640), (0, 639)),
        ("a_270", (427, 640), (0, 639)),
        ("a_hflip", (640, 427), (639, 0)),
        ("a_vflip", (640, 427), (0, 426)),
        ("a_hflip.90", (427, 640), (426, 639)),
    ] {
        let frame = render_with_facts(&Case::new(marked.clone(), text));
        assert_eq!(frame.size(), Size::new(size.0, size.1), "{text}");
        assert_eq!(frame.pixel(corner.0, corner.1), [255, 0, 0, 255], "{text}");
    }
}

#[test]
fn exif_orientation_is_honoured_first_unless_ignored() {
    let case = |text| Case { orientation: 6, ..Case::new(coded(Size::new(600, 400), false, WAVE), text) };
    assert_eq!(render_with_facts(&case("c_scale,w_100")).size(), Size::new(100, 150));
    assert_eq!(render_with_facts(&case("a_ignore/c_scale,w_150")).size(), Size::new(150, 100));
    // Orientation 6 is shown turned clockwise: what was left is on top.
    let upright = render_with_facts(&case("c_scale,w_400"));
    assert!(upright.pixel(200, 10)[0] < 20 && upright.pixel(200, 590)[0] > 235);
}

#[test]
fn shapes_and_frames_have_the_sizes_and_corners_of_the_table() {
    let red = Frame::filled(Size::new(300, 200), [255, 0, 0, 255]);
    let render = |text: &str| render_with_facts(&Case::new(red.clone(), text));

    let rounded = render("r_20/f_png");
    assert_eq!(rounded.pixel(0, 0)[3], 0, "row 76");
    assert_eq!(rounded.pixel(20, 0), [255, 0, 0, 255], "row 76");

    let framed = render("bo_5px_solid_black");
    assert_eq!(framed.size(), Size::new(310, 210), "row 77");
    assert_eq!(framed.pixel(0, 0), [0, 0, 0, 255]);
    assert_eq!(framed.pixel(4, 100), [0, 0, 0, 255]);
    assert_eq!(framed.pixel(5, 100), [255, 0, 0, 255]);

    let ring = render("bo_5px_solid_black,r_20/f_png");
    assert_eq!(ring.size(), Size::new(310, 210), "row 78");
    assert_eq!(ring.pixel(0, 0)[3], 0, "the ring follows the outline");
    assert_eq!(ring.pixel(0, 100), [0, 0, 0, 255]);
    assert_eq!(ring.pixel(25, 0), [0, 0, 0, 255]);
    // On the diagonal of the corner, 25 - 22.5 px inside of the outer edge, lies the middle of the ring.
    let diagonal = (25.0 - 22.5 / 2.0_f64.sqrt()).floor() as u32;
    assert_eq!(ring.pixel(diagonal, diagonal), [0, 0, 0, 255]);

    let square = render("r_20/bo_5px_solid_blue/f_png");
    assert_eq!(square.size(), Size::new(310, 210), "row 79");
    assert_eq!(square.pixel(0, 0), [0, 0, 255, 255]);
    assert_eq!(square.pixel(5, 5)[3], 0);

    let double = render("bo_20px_solid_blue/bo_20px_solid_red");
    assert_eq!(double.size(), Size::new(380, 280), "row 80");
    assert_eq!(double.pixel(10, 10), [255, 0, 0, 255]);
    assert_eq!(double.pixel(30, 30), [0, 0, 255, 255]);

    let faded = render("o_30/f_jpg");
    assert_eq!(faded.pixel(150, 100), [255, 178, 178, 255], "row 81: alpha is 77 of 255");

    let circle = render("c_fill,h_200,w_200/r_max/f_png");
    assert_eq!(circle.pixel(0, 0)[3], 0, "row 74");
    assert_eq!(circle.pixel(100, 100), [255, 0, 0, 255], "row 74");
    assert_eq!(render("c_fill,h_200,w_200/r_max/f_jpg").pixel(0, 0), [255; 4], "row 75");
}

const LOGO: Size = Size::new(500, 250);
const BADGE: Size = Size::new(100, 100);
const ICON: Size = Size::new(200, 100);
const BIG: Size = Size::new(600, 600);
const B800: Size = Size::new(800, 600);

/// Row, base, transformation, size of the result, upper left corner and size of the layer on it.
type LayerRow = (u32, Size, &'static str, (u32, u32), (i32, i32), (u32, u32));

const LAYER_ROWS: &[LayerRow] = &[
    (96, B800, "l_icon", (800, 600), (300, 250), (200, 100)),
    (97, B800, "g_north_east,l_icon,x_10,y_10", (800, 600), (590, 10), (200, 100)),
    (98, B800, "g_south_east,l_icon,x_20,y_20", (800, 600), (580, 480), (200, 100)),
    (99, B800, "g_south,l_icon,y_30", (800, 600), (300, 470), (200, 100)),
    (100, B800, "g_west,l_icon,x_15", (800, 600), (15, 250), (200, 100)),
    (101, B800, "g_east,l_icon,x_5,y_-10", (800, 600), (595, 240), (200, 100)),
    (102, B800, "g_north_east,l_icon,x_0.15,y_0.15", (800, 600), (480, 90), (200, 100)),
    (103, B800, "c_scale,fl_relative,g_north_west,l_logo,w_0.25", (800, 600), (0, 0), (200, 100)),
    (104, B800, "c_scale,g_north_west,l_logo,w_0.25", (800, 600), (0, 0), (125, 63)),
    (107, Size::new(130, 130), "c_scale,g_south_east,l_badge,w_40,x_20,y_-40", (130, 170), (70, 130), (40, 40)),
    (109, Size::new(400, 267), "l_big", (600, 600), (0, 0), (600, 600)),
    (110, Size::new(400, 267), "fl_no_overflow,l_big", (400, 267), (0, 0), (400, 267)),
];

#[test]
fn layers_lie_where_the_table_says() {
    for (row, base, text, size, at, layer) in LAYER_ROWS {
        let name = format!("row {row}: {text}");
        let green = |size| Frame::filled(size, [0, 255, 0, 255]);
        let layers = [("icon", ICON), ("logo", LOGO), ("badge", BADGE), ("big", BIG)];
        let case = Case {
            layers: layers.iter().map(|(id, size)| ((*id).to_owned(), green(*size))).collect(),
            ..Case::new(Frame::filled(*base, [255, 0, 0, 255]), &format!("{text}/f_png"))
        };
        let frame = render_with_facts(&case);
        assert_eq!(frame.size(), Size::new(size.0, size.1), "{name}");
        let mut found: Option<(u32, u32, u32, u32)> = None;
        for y in 0..frame.size().height {
            for x in 0..frame.size().width {
                if frame.pixel(x, y)[1] > 127 {
                    let (x0, y0, x1, y1) = found.unwrap_or((x, y, x, y));
                    found = Some((x0.min(x), y0.min(y), x1.max(x), y1.max(y)));
                }
            }
        }
        let (x0, y0, x1, y1) = found.unwrap_or_else(|| panic!("{name}: no layer"));
        assert_eq!((x0 as i32, y0 as i32), *at, "{name}");
        assert_eq!((x1 - x0 + 1, y1 - y0 + 1), *layer, "{name}");
    }
}

#[test]
fn a_layer_outside_is_clipped_away_and_one_on_a_face_needs_a_face() {
    let base = Frame::filled(Size::new(130, 130), [255, 0, 0, 255]);
    let layers = vec![("badge".to_owned(), Frame::filled(BADGE, [0, 255, 0, 255]))];
    for text in ["c_scale,fl_no_overflow,g_south_east,l_badge,w_40,x_20,y_-40", "g_face,l_badge"] {
        let frame = render_with_facts(&Case { layers: layers.clone(), ..Case::new(base.clone(), text) });
        assert_eq!(frame, base, "rows 108 and 117: {text}");
    }
}

#[test]
fn an_underlay_shows_only_where_the_base_does_not() {
    let mut base = Frame::filled(Size::new(80, 60), [255, 0, 0, 0]);
    base.pixels_mut()[..40 * 4].iter_mut().for_each(|byte| *byte = 255);
    let layers = vec![("bg".to_owned(), Frame::filled(Size::new(20, 20), [0, 0, 255, 255]))];
    let text = "c_fill,fl_relative,h_1.0,u_bg,w_1.0/f_png";
    let frame = render_with_facts(&Case { layers, ..Case::new(base, text) });
    assert_eq!(frame.size(), Size::new(80, 60), "row 112");
    assert_eq!(frame.pixel(0, 0), [255; 4]);
    assert_eq!(frame.pixel(79, 59), [0, 0, 255, 255]);
}

/// Row 106, the picture of the brief.
#[test]
fn the_headline_picture_is_410_by_360_with_its_logo_in_the_corner() {
    let text = "w_400,h_350,g_face,c_crop/r_20,bo_5px_solid_black/\
                l_logo,o_50,w_0.25,fl_relative,g_north_east,y_10,x_10/q_auto,f_auto";
    let case = Case {
        faces: vec![RectF::new(500.0, 200.0, 120.0, 160.0)],
        layers: vec![("logo".to_owned(), Frame::filled(LOGO, [0, 255, 0, 255]))],
        webp: true,
        ..Case::new(Frame::filled(F1200, [255, 0, 0, 255]), text)
    };
    let frame = render_with_facts(&case);
    assert_eq!(frame.size(), Size::new(410, 360));
    assert_eq!(frame.pixel(0, 0)[3], 0, "rounded");
    assert_eq!(frame.pixel(0, 180), [0, 0, 0, 255], "bordered");
    assert_eq!(frame.pixel(296, 30), [255, 0, 0, 255], "left of the logo");
    assert_eq!(frame.pixel(297, 30), [128, 128, 0, 255], "half-transparent logo");
    assert_eq!(frame.pixel(399, 60), [128, 128, 0, 255]);
    assert_eq!(frame.pixel(399, 61), [255, 0, 0, 255], "below the logo");
    let jpeg = render_with_facts(&Case { webp: false, ..case });
    assert_eq!(jpeg.pixel(0, 0), [255; 4], "JPEG shows white corners");
}
