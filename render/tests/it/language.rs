//! The text of transformations: sections 4.5, 5.2 and 5.3 of the specification.

use tintype_render::language::*;
use tintype_render::{Error, Limits};

fn read(text: &str) -> Result<Transformation, Error> {
    parse(text, &Limits::default())
}

/// The text is legal and has this canonical form.
fn check(text: &str, canonical_text: &str) {
    match read(text) {
        Ok(transformation) => {
            assert_eq!(canonical(&transformation), canonical_text, "{text}");
            assert_eq!(read(canonical_text).as_ref(), Ok(&transformation), "{text}");
        }
        Err(error) => panic!("{text}: {error}"),
    }
}

/// The text is malformed: this message, about this piece of the text.
fn check_invalid(text: &str, expected: &str, piece: &str) {
    match read(text) {
        Err(Error::Syntax { message, span }) => {
            assert_eq!(message, expected, "{text}");
            assert_eq!(&text[span], piece, "{text}");
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// The text is known but not built, and named like this.
fn check_unsupported(text: &str, named: &str) {
    assert_eq!(read(text), Err(Error::unsupported(named)), "{text}");
}

#[test]
fn the_headline_chain_parses() {
    check(
        "w_400,h_350,g_face,c_crop/r_20,bo_5px_solid_black/l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,y_10,x_10/q_auto,f_auto",
        "c_crop,g_face,h_350,w_400/bo_5px_solid_rgb:000000,r_20/fl_relative,g_north_east,l_cloudinary_icon,o_50,w_0.25,x_10,y_10/f_auto,q_auto:good",
    );
}

#[test]
fn order_and_emptiness_do_not_matter() {
    check("h_20,w_10,c_crop", "c_crop,h_20,w_10");
    check("c_crop,h_20,w_10", "c_crop,h_20,w_10");
    check("", "");
    check("///,,/w_100,,h_50//", "h_50,w_100");
    check("w_100,w_100", "w_100");
    check("c_fill,w_200,x_100,y_100/r_10/c_crop,w_100", "c_fill,w_200,x_100,y_100/r_10/c_crop,w_100");
}

#[test]
fn a_written_point_makes_a_fraction() {
    let length = |text: &str| read(text).unwrap().components[0].width;
    assert_eq!(length("w_1"), Some(Length::Pixels(1)));
    assert_eq!(length("w_1.0"), Some(Length::Fraction(Decimal { units: 10, scale: 1 })));
    assert_eq!(length("w_0.250"), Some(Length::Fraction(Decimal { units: 25, scale: 2 })));
    assert_eq!(length("w_iw"), Some(Length::InitialWidth));
    assert_eq!(length("w_ih"), Some(Length::InitialHeight));
    assert_eq!(length("w_4294967295"), Some(Length::Pixels(u32::MAX)));
}

#[test]
fn values_have_one_spelling() {
    check("b_red", "b_rgb:ff0000");
    check("b_RED", "b_rgb:ff0000");
    check("b_rgb:F00", "b_rgb:ff0000");
    check("b_none", "b_rgb:00000000");
    check("bo_5px_solid_rgb:ffaabbdd", "bo_5px_solid_rgb:ffaabbdd");
    check("bo_5_solid_black", "bo_5px_solid_rgb:000000");
    check("q_auto", "q_auto:good");
    check("q_auto:low", "q_auto:low");
    check("q_80:444", "q_80:444");
    check("q_0.4", "q_40");
    check("q_1.0", "q_100");
    check("f_jpeg", "f_jpg");
    check("f_auto:image", "f_auto");
    check("dpr_2.0", "dpr_2");
    check("dpr_20", "dpr_20");
    check("ar_1.50", "ar_1.5");
    check("ar_16:9", "ar_16:9");
    check("z_0.75", "z_0.75");
    check("x_-0.50,y_-10", "x_-0.5,y_-10");
    check("r_max", "r_max");
    check("r_20:0:40:5", "r_20:0:40:5");
    check("a_-90", "a_-90");
    check("a_vflip.450", "a_vflip.450");
    check("a_0", "a_0");
    check("a_exif", "");
    check("o_0", "o_0");
    check("g_face:center", "g_face:center");
    check("g_custom:faces", "g_custom:faces");
    check("g_xy_center", "g_xy_center");
    check("fl_progressive:semi.relative", "fl_relative.progressive");
    check("fl_relative,fl_no_overflow", "fl_relative.no_overflow");
    check("fl_attachment", "fl_attachment");
    check("fl_attachment:pretty_flower", "fl_attachment:pretty_flower");
    check("fl_attachment:my%2Epicture 1", "fl_attachment:my%2Epicture%201");
    // Qualifiers without their action, and the prefix of sprites, change nothing.
    check("g_center,o_20,p_a,q_0.4,r_3,x_1,y_2", "g_center,o_20,q_40,r_3,x_1,y_2");
    check("p_a", "");
}

#[test]
fn layers_name_uploaded_images() {
    let layer = |text: &str| read(text).unwrap().components[0].layer.clone().unwrap();
    assert_eq!(layer("l_folder:logo").public_id, "folder/logo");
    assert_eq!(layer("l_logo.png").public_id, "logo");
    assert_eq!(layer("l_logo.v2").public_id, "logo.v2");
    assert_eq!(layer("l_text").public_id, "text");
    assert_eq!(layer("u_a:b.jpg"), Layer { side: LayerSide::Under, public_id: "a/b".into() });
    check("l_logo.png.png", "l_logo.png.png");
    check("l_a:logo.jpg", "l_a:logo");
}

#[test]
fn malformed_values_are_named_with_their_position() {
    check_invalid("w_abc", "Invalid width in transformation: abc", "abc");
    check_invalid("c_fill/h_100,w_-5", "Invalid width in transformation: -5", "-5");
    for zero in ["0", "0.0", "-0.5", "4294967296", "99999999999999999999", "1.0000000001", "1e9", "5px", "w_w"] {
        check_invalid(&format!("w_{zero}"), &format!("Invalid width in transformation: {zero}"), zero);
    }
    check_invalid("h_0", "Invalid height in transformation: 0", "0");
    check_invalid("c_foo", "Invalid crop in transformation: foo", "foo");
    check_invalid("g_nowhere", "Invalid gravity in transformation: nowhere", "nowhere");
    check_invalid("g_face:left", "Invalid gravity in transformation: face:left", "face:left");
    check_invalid("x_ten", "Invalid x in transformation: ten", "ten");
    check_invalid("y_3000000000", "Invalid y in transformation: 3000000000", "3000000000");
    check_invalid("z_0", "Invalid zoom in transformation: 0", "0");
    check_invalid("ar_16:0", "Invalid aspect_ratio in transformation: 16:0", "16:0");
    check_invalid("ar_1:2:3", "Invalid aspect_ratio in transformation: 1:2:3", "1:2:3");
    check_invalid("q_500", "Invalid quality in transformation: 500", "500");
    check_invalid("q_0", "Invalid quality in transformation: 0", "0");
    check_invalid("q_1.5", "Invalid quality in transformation: 1.5", "1.5");
    check_invalid("q_auto:superb", "Invalid quality in transformation: auto:superb", "auto:superb");
    check_invalid("f_xyz", "Invalid fetch_format in transformation: xyz", "xyz");
    check_invalid("a_left", "Invalid angle in transformation: left", "left");
    check_invalid("r_-1", "Invalid radius in transformation: -1", "-1");
    check_invalid("r_1:2:3:4:5", "Invalid radius in transformation: 1:2:3:4:5", "1:2:3:4:5");
    check_invalid("bo_5px_dotted_red", "Invalid border in transformation: 5px_dotted_red", "5px_dotted_red");
    check_invalid("bo_5px_solid_reddish", "Invalid color in transformation: reddish", "reddish");
    check_invalid("b_reddish", "Invalid color in transformation: reddish", "reddish");
    check_invalid("o_150", "Invalid opacity in transformation: 150", "150");
    check_invalid("o_-1", "Invalid opacity in transformation: -1", "-1");
    check_invalid("dpr_20.1", "Invalid dpr in transformation: 20.1", "20.1");
    check_invalid("dpr_0", "Invalid dpr in transformation: 0", "0");
    check_invalid("fl_abc.def", "Invalid flag in transformation: abc", "abc");
    check_invalid("fl_relative.def", "Invalid flag in transformation: def", "def");
    check_invalid("fl_relative:1", "Invalid flag in transformation: relative:1", "relative:1");
    check_invalid("fl_attachment:a\"b", "Invalid flag in transformation: attachment:a\"b", "attachment:a\"b");
    check_invalid("fl_attachment:50%", "Invalid flag in transformation: attachment:50%", "attachment:50%");
    check_invalid("fl_attachment:a%0Ab", "Invalid flag in transformation: attachment:a%0Ab", "attachment:a%0Ab");
    check_invalid("e_nonsense:3", "Invalid effect in transformation: nonsense", "nonsense");
    check_invalid("l_..:secret", "Invalid overlay in transformation: ..:secret", "..:secret");
    check_invalid("u_a::b", "Invalid underlay in transformation: a::b", "a::b");
}

#[test]
fn broken_components_are_named_whole() {
    check_invalid("w_100,foo_1", "Invalid transformation component - w_100,foo_1", "foo_1");
    check_invalid("c_fill/w_", "Invalid transformation component - w_", "w_");
    check_invalid("W_100", "Invalid transformation component - W_100", "W_100");
    check_invalid("l_a,u_b", "Invalid transformation component - l_a,u_b", "u_b");
    check_invalid("g_faces,g_center", "conflicting transformation on gravity faces!=center", "center");
    check_invalid("w_1,h_1,w_2", "conflicting transformation on width 1!=2", "2");
}

#[test]
fn what_is_not_built_is_named() {
    for (text, named) in [
        ("if_w_gt_300,c_scale,w_300", "if_w_gt_300"),
        ("if_end", "if_end"),
        ("if_fc_gt_2,$z_5,$foo_$z_mul_2,c_scale,w_$foo_mul_200", "if_fc_gt_2"),
        ("$width_10/w_$width_add_10_add_w", "$width_10"),
        ("$xpos_ctx:!x_pos!_to_f,c_crop,x_$xpos_mul_w", "$xpos_ctx"),
        ("$efname_!blur!,e_$efname:100", "$efname_!blur!"),
        ("$style_!Arial_12!/l_text:$style:hello-world", "$style_!Arial_12!"),
        ("c_scale,l_text:Arial_18:$(start)Hello%20$(name)", "l_text"),
        ("l_text:Arial_18_bold_italic_letter_spacing_4_line_spacing_3:Hello World%2C Nice to meet you%3F", "l_text"),
        ("l_private:logo", "l_private"),
        ("l_authenticated:x,w_600", "l_authenticated"),
        ("l_video:cat", "l_video"),
        ("l_subtitles:Arial_40:sample_sub_he.srt", "l_subtitles"),
        ("l_fetch:aHR0cDovL2Nsb3VkaW5hcnkuY29tL2ltYWdlcy9vbGRfbG9nby5wbmc=", "l_fetch"),
        ("l_video:fetch:aHR0cHM6Ly9kZW1vLXJlcy5jbG91ZGluYXJ5LmNvbS92aWRlb3MvZG9nLm1wNA==", "l_video"),
        ("h_100,l_text:hello,w_100", "l_text"),
        ("u_text:hello", "u_text"),
        ("l_$img", "l_$img"),
        ("l_sample/c_pad,w_100/e_screen,fl_layer_apply,g_face", "e_screen"),
        ("l_sample/fl_layer_apply,g_face", "fl_layer_apply"),
        ("t_blip", "t_blip"),
        ("t_blip.blop", "t_blip.blop"),
        ("t_blip blop", "t_blip blop"),
        ("r_10:$v:30", "r_10:$v:30"),
        ("r_w_mul_2", "r_w_mul_2"),
        ("a_hflip.45", "a_hflip.45"),
        ("a_-20", "a_-20"),
        ("a_45", "a_45"),
        ("a_auto_right", "a_auto_right"),
        ("w_auto", "w_auto"),
        ("w_auto:20:350", "w_auto"),
        ("w_auto:breakpoints_100_1900_20_15", "w_auto"),
        ("c_crop,h_100,w_100/c_limit,w_auto", "w_auto"),
        ("w_iw_mul_2", "w_iw_mul_2"),
        ("h_3_mul_ih_add_$aheight", "h_3_mul_ih_add_$aheight"),
        ("x_w_div_50", "x_w_div_50"),
        ("o_$x", "o_$x"),
        ("dpr_auto", "dpr_auto"),
        ("fl_streaming_attachment:my_streaming_video%2Emp4", "fl_streaming_attachment"),
        ("fl_progressive:steep", "fl_progressive:steep"),
        ("b_auto:predominant_gradient:4:palette_red_green_blue_orange,c_pad,h_150,w_150", "b_auto"),
        ("b_$c", "b_$c"),
        ("bo_$px_solid_red", "bo_$px_solid_red"),
        ("bo_5px_solid_$c", "bo_5px_solid_$c"),
        ("e_gen_remove:region_((x_300;y_200;w_750;h_500);(x_1;y_2;w_3;h_4))", "e_gen_remove"),
        ("e_blur:800,e_sepia", "e_blur"),
        ("eo_70p,so_35p", "eo_70p"),
        ("br_av:video_(value_2m);audio_(value_128k)", "br_av"),
        ("g_auto", "g_auto"),
        ("g_auto:subject", "g_auto"),
        ("g_face:auto", "g_face:auto"),
        ("g_cat", "g_cat"),
        ("g_region_!name!", "g_region_!name!"),
        ("c_fill_pad,g_auto", "c_fill_pad"),
        ("c_auto", "c_auto"),
        ("c_imagga_crop", "c_imagga_crop"),
        ("f_heic", "f_heic"),
        ("f_auto:video", "f_auto:video"),
        ("q_auto:good:sensitive", "q_auto:good:sensitive"),
        ("q_jpegmini:1", "q_jpegmini"),
        ("q_80:qmax_90", "q_80:qmax_90"),
        ("d_avatar.png", "d_avatar.png"),
    ] {
        check_unsupported(text, named);
    }
}

#[test]
fn limits_hold_one_below_and_one_above() {
    let limits = Limits { transformation_bytes: 20, components: 3, layers: 2, ..Limits::default() };
    let passes = |text: &str| match parse(text, &limits) {
        Ok(_) => true,
        Err(Error::Limit(_)) => false,
        Err(other) => panic!("{text}: {other}"),
    };
    assert!(passes("fl_attachment:aaaaaa") && !passes("fl_attachment:aaaaaaa"));
    assert!(passes("w_1/w_2/w_3") && !passes("w_1/w_2/w_3/w_4"));
    assert!(passes("l_a/l_b") && !passes("l_a/l_b/l_c"));
    assert!(passes("//,/w_1/w_2/w_3/,/"));
    assert!(matches!(read(&"w_1/".repeat(5_000)), Err(Error::Limit(_))));
    assert!(matches!(read(&format!("a_{}", ["90"; 11].join("."))), Err(Error::Limit(_))));
}

#[test]
fn messages_are_short_and_printable() {
    let text = format!("w_\n{}", "x".repeat(5_000));
    match read(&text) {
        Err(Error::Syntax { message, span }) => {
            assert!(message.len() < 200 && !message.contains('\n'), "{message}");
            assert_eq!(span, 2..text.len());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn eager_entries_may_end_with_a_format() {
    let entries = parse_eager("w_100,c_crop|w_20/png|c_fill,w_5/r_3/|jpg|f_auto", &Limits::default()).unwrap();
    let seen: Vec<(&str, &str, String, EagerExtension)> = entries
        .iter()
        .map(|entry| (&*entry.text, &*entry.components, canonical(&entry.transformation), entry.extension))
        .collect();
    assert_eq!(
        seen,
        [
            ("w_100,c_crop", "w_100,c_crop", "c_crop,w_100".into(), EagerExtension::Original),
            ("w_20/png", "w_20", "w_20".into(), EagerExtension::Named(Format::Png)),
            ("c_fill,w_5/r_3/", "c_fill,w_5/r_3", "c_fill,w_5/r_3".into(), EagerExtension::Absent),
            ("jpg", "", String::new(), EagerExtension::Named(Format::Jpeg)),
            ("f_auto", "f_auto", "f_auto".into(), EagerExtension::Original),
        ]
    );
    assert_eq!(parse_eager("", &Limits::default()), Ok(vec![]));
    assert_eq!(parse_eager("w_20/heic", &Limits::default()), Err(Error::unsupported("f_heic")));
    assert_eq!(parse_eager("w_20/nope", &Limits::default()), Err(Error::invalid("extension", "nope", 5..9)));
    let decoded = parse_eager("fl_attachment:a%252Eb", &Limits::default()).unwrap();
    assert_eq!(decoded[0].transformation.attachment(), Some(Some("a.b")));
    assert!(parse_eager(&vec!["w_1"; 100].join("|"), &Limits::default()).is_ok());
    assert!(matches!(parse_eager(&vec!["w_1"; 101].join("|"), &Limits::default()), Err(Error::Limit(_))));
}

#[test]
fn components_are_told_from_folders() {
    for yes in ["w_100", "w_abc", "c_fill,w_10", "a_0", "if_w_gt_3", "$x_3", "$x", "w_100,,h_5", "l_text:a_1:b"] {
        assert!(is_component(yes), "{yes}");
    }
    for no in ["", ",", "docs", "foo_1", "W_100", "w_", "w_100,foo_1", "v123", "my_folder", "$"] {
        assert!(!is_component(no), "{no}");
    }
}
