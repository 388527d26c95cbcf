//! Strings that real SDKs emit, and mistakes that people make.

use tintype_render::language::{
    Border, ChromaSampling, Color, Component, CropMode, Decimal, Flag, Format, FormatParam, Gravity, Length, Offset,
    QualityLevel, QualityParam, Radius, Rotation, canonical, parse,
};
use tintype_render::{Error, Limits};

fn one(text: &str) -> Component {
    let mut components = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}")).components;
    assert_eq!(components.len(), 1, "{text}");
    components.remove(0)
}

#[test]
fn values_mean_what_they_say() {
    let decimal = |units, scale| Decimal { units, scale };
    assert_eq!(one("w_400").width, Some(Length::Pixels(400)));
    assert_eq!(one("w_0.5").width, Some(Length::Fraction(decimal(5, 1))));
    assert_eq!(one("w_1.0").width, Some(Length::Fraction(decimal(10, 1))));
    assert_eq!(one("h_iw").height, Some(Length::InitialWidth));
    assert_eq!(one("x_-10").x, Some(Offset::Pixels(-10)));
    assert_eq!(one("y_-0.25").y, Some(Offset::Fraction(decimal(-25, 2))));
    assert_eq!(one("r_max").radius, Some(Radius::Max));
    assert_eq!(one("r_10:0:30").radius, Some(Radius::Corners(vec![10, 0, 30])));
    assert_eq!(one("bo_5px_solid_black").border, Some(Border { width: 5, color: Color::BLACK }));
    let rgba = Color { rgba: [0xff, 0xaa, 0xbb, 0xdd] };
    assert_eq!(one("bo_5px_solid_rgb:ffaabbdd").border, Some(Border { width: 5, color: rgba }));
    assert_eq!(one("bo_3_solid_white").border, Some(Border { width: 3, color: Color::WHITE }));
    assert_eq!(one("b_transparent").background, Some(Color::TRANSPARENT));
    assert_eq!(one("b_rgb:0f0").background, Some(Color { rgba: [0, 255, 0, 255] }));
}

#[test]
fn more_values() {
    assert_eq!(one("a_-90").angle, [Rotation::Degrees(-90)]);
    assert_eq!(one("a_hflip.90").angle, [Rotation::HFlip, Rotation::Degrees(90)]);
    assert_eq!(one("q_80:444").quality, Some(QualityParam::Number(80, Some(ChromaSampling::Full))));
    assert_eq!(one("q_auto").quality, Some(QualityParam::Auto(QualityLevel::Good)));
    assert_eq!(one("q_auto:eco").quality, Some(QualityParam::Auto(QualityLevel::Eco)));
    assert_eq!(one("f_auto").format, Some(FormatParam::Auto));
    assert_eq!(one("f_jpeg").format, Some(FormatParam::Named(Format::Jpeg)));
    assert_eq!(one("l_folder:logo").layer.map(|layer| layer.public_id), Some("folder/logo".into()));
    assert_eq!(one("l_logo.png").layer.map(|layer| layer.public_id), Some("logo".into()));
    assert!(one("fl_relative.no_overflow,l_x").flags.contains(&Flag::NoOverflow));
    assert_eq!(one("fl_attachment:my%20file").flags.first(), Some(&Flag::Attachment(Some("my file".into()))));
    assert_eq!(one("c_thumb,g_face,h_150,w_150,z_0.75").zoom, Some(Decimal { units: 75, scale: 2 }));
    assert_eq!(one("g_center,o_20,p_a,q_0.4,r_3,x_1,y_2").quality, Some(QualityParam::Number(40, None)));
    assert!(matches!(one("g_faces:center").gravity, Some(Gravity::Faces(_))));
    assert_eq!(one("c_lfill,w_1").crop, Some(CropMode::Lfill));
}

#[test]
fn order_and_emptiness_do_not_matter() {
    let canonical = |text| canonical(&parse(text, &Limits::default()).unwrap());
    for (a, b) in [
        ("c_crop,h_20,w_10", "h_20,w_10,c_crop"),
        ("w_100,,h_50", "h_50,w_100"),
        ("c_fill,w_1//r_2/", "c_fill,w_1/r_2"),
        ("w_10,w_10", "w_10"),
        ("b_green", "b_rgb:008000"),
        ("q_auto", "q_auto:good"),
        ("f_jpeg", "f_jpg"),
    ] {
        assert_eq!(canonical(a), canonical(b), "{a} and {b}");
    }
    assert_eq!(parse("c_fill,w_200,x_100,y_100/r_10/c_crop,w_100", &Limits::default()).unwrap().components.len(), 3);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for (text, named) in [
        ("e_blur:300", "e_blur"),
        ("w_100/e_sepia", "e_sepia"),
        ("l_text:Arial_40:hello", "l_text"),
        ("l_fetch:aHR0cDovL2Nsb3VkaW5hcnkuY29tL2ltYWdlcy9vbGRfbG9nby5wbmc=", "l_fetch"),
        ("l_private:logo", "l_private"),
        ("fl_layer_apply,g_face", "fl_layer_apply"),
        ("c_fill,g_auto,w_1", "g_auto"),
        ("a_45", "a_45"),
        ("b_auto:predominant_gradient:4", "b_auto"),
        ("w_auto:20:350", "w_auto"),
        ("dpr_auto", "dpr_auto"),
        ("if_w_gt_300,c_scale,w_300", "if_w_gt_300"),
        ("$width_10/w_20", "$width_10"),
        ("t_blip.blop", "t_blip.blop"),
        ("f_heic", "f_heic"),
        ("c_fill_pad,w_1", "c_fill_pad"),
        ("q_auto:good:sensitive", "q_auto:good:sensitive"),
        ("d_avatar.png", "d_avatar.png"),
        ("co_red,e_colorize:50", "co_red"),
        ("pg_2-4", "pg_2-4"),
        ("w_$size_mul_2", "w_$size_mul_2"),
        ("x_w_div_50", "x_w_div_50"),
    ] {
        match parse(text, &Limits::default()) {
            Err(Error::Unsupported { what }) => assert_eq!(what, named, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, message, start) in [
        ("w_abc", "Invalid width in transformation: abc", 2),
        ("c_fill,w_0", "Invalid width in transformation: 0", 9),
        ("r_5/h_-3", "Invalid height in transformation: -3", 6),
        ("q_500", "Invalid quality in transformation: 500", 2),
        ("o_150", "Invalid opacity in transformation: 150", 2),
        ("c_fills", "Invalid crop in transformation: fills", 2),
        ("g_nowhere", "Invalid gravity in transformation: nowhere", 2),
        ("dpr_0", "Invalid dpr in transformation: 0", 4),
        ("dpr_99999", "Invalid dpr in transformation: 99999", 4),
        ("w_99999999999999999999", "Invalid width in transformation: 99999999999999999999", 2),
        ("w_100,foo_1", "Invalid transformation component - w_100,foo_1", 6),
        ("g_face,g_faces", "conflicting transformation on gravity face!=faces", 9),
        ("b_nocolor", "Invalid color in transformation: nocolor", 2),
        ("z_0", "Invalid zoom in transformation: 0", 2),
    ] {
        match parse(text, &Limits::default()) {
            Err(Error::Syntax { message: found, span }) => {
                assert!(found.starts_with(message), "{text}: {found}");
                assert_eq!(span.start, start, "{text}: {found}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn limits_hold_one_below_and_one_above() {
    let limits = Limits { components: 3, layers: 2, transformation_bytes: 40, ..Limits::default() };
    assert!(parse("w_1/w_2/w_3", &limits).is_ok());
    assert!(matches!(parse("w_1/w_2/w_3/w_4", &limits), Err(Error::Limit(_))));
    assert!(parse("l_a/l_b", &limits).is_ok());
    assert!(matches!(parse("l_a/l_b/l_c", &limits), Err(Error::Limit(_))));
    assert!(parse(&format!("l_{}", "a".repeat(38)), &limits).is_ok());
    assert!(matches!(parse(&format!("l_{}", "a".repeat(39)), &limits), Err(Error::Limit(_))));
    let many = "w_1/".repeat(5000);
    let roomy = Limits { transformation_bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(parse(&many, &roomy), Err(Error::Limit(_))));
}
