//! Random parts of the language for property tests.

use proptest::prelude::*;
use tintype_render::language::{
    AspectRatio, Border, Color, Compass, Component, CropMode, Decimal, FaceFallback, Flag, Format, FormatParam,
    Gravity, Layer, LayerSide, Length, Offset, QualityLevel, QualityParam, Radius, Rotation,
};

pub fn decimal(units: std::ops::Range<i64>) -> impl Strategy<Value = Decimal> {
    // Zeros at the end are not kept where they mean nothing.
    (units, 1..4_u8).prop_map(|(units, scale)| Decimal { units: units + i64::from(units % 10 == 0), scale })
}

pub fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        (1..5000_u32).prop_map(Length::Pixels),
        decimal(1..3000).prop_map(Length::Fraction),
        Just(Length::InitialWidth),
        Just(Length::InitialHeight),
    ]
}

pub fn offset() -> impl Strategy<Value = Offset> {
    prop_oneof![(-900..900_i32).prop_map(Offset::Pixels), decimal(-900..900).prop_map(Offset::Fraction)]
}

pub fn color() -> impl Strategy<Value = Color> {
    any::<[u8; 4]>().prop_map(|rgba| if rgba[3] == 0 { Color::TRANSPARENT } else { Color { rgba } })
}

pub fn gravity() -> impl Strategy<Value = Gravity> {
    prop_oneof![
        Just(Gravity::Compass(Compass::NorthEast)),
        Just(Gravity::Compass(Compass::Center)),
        Just(Gravity::XyCenter),
        Just(Gravity::Face(FaceFallback::North)),
        Just(Gravity::Faces(FaceFallback::Center)),
        Just(Gravity::CustomFaces),
    ]
}

pub fn rotation() -> impl Strategy<Value = Rotation> {
    prop_oneof![
        (-4..5_i32).prop_map(|turns| Rotation::Degrees(turns * 90)),
        Just(Rotation::HFlip),
        Just(Rotation::VFlip),
        Just(Rotation::Ignore),
    ]
}

pub fn layer() -> impl Strategy<Value = Layer> {
    let side = prop_oneof![Just(LayerSide::Over), Just(LayerSide::Under)];
    (side, "[a-z][a-z0-9 -]{0,8}[a-z](/[a-z0-9.]{1,6}x){0,2}(\\.png)?")
        .prop_map(|(side, public_id)| Layer { side, public_id })
}

prop_compose! {
    /// Any legal component.
    pub fn component()(
        crop in proptest::option::of(prop_oneof![Just(CropMode::Fill), Just(CropMode::Mpad), Just(CropMode::Thumb)]),
        lengths in (proptest::option::of(length()), proptest::option::of(length())),
        ratio in proptest::option::of(prop_oneof![
            (decimal(1..99), decimal(1..99)).prop_map(|(a, b)| AspectRatio::Ratio(a, b)),
            decimal(1..99).prop_map(AspectRatio::Number),
        ]),
        gravity in proptest::option::of(gravity()),
        offsets in (proptest::option::of(offset()), proptest::option::of(offset())),
        zoom in proptest::option::of(decimal(1..500)),
        radius in proptest::option::of(prop_oneof![
            Just(Radius::Max),
            proptest::collection::vec(0..900_u32, 1..5).prop_map(Radius::Corners),
        ]),
        border in proptest::option::of((1..90_u32, color()).prop_map(|(width, color)| Border { width, color })),
        background in proptest::option::of(color()),
        opacity in proptest::option::of(0..=100_u8),
        angle in proptest::collection::vec(rotation(), 0..3),
        layer in proptest::option::of(layer()),
        output in (
            proptest::option::of(prop_oneof![
                (1..=100_u8).prop_map(|number| QualityParam::Number(number, None)),
                Just(QualityParam::Auto(QualityLevel::Low)),
            ]),
            proptest::option::of(prop_oneof![Just(FormatParam::Auto), Just(FormatParam::Named(Format::Avif))]),
            proptest::option::of(decimal(1..20)),
        ),
        flags in proptest::collection::btree_set(
            prop_oneof![
                Just(Flag::Relative),
                Just(Flag::NoOverflow),
                "[a-zA-Z0-9 _!.-]{1,9}".prop_map(|name| Flag::Attachment(Some(name))),
            ],
            0..2,
        ),
    ) -> Component {
        // Pages of layers are refused.
        let page = opacity.filter(|_| layer.is_none()).map(|percent| u32::from(percent) + 1);
        Component {
            crop, width: lengths.0, height: lengths.1, aspect_ratio: ratio, gravity, x: offsets.0, y: offsets.1, zoom,
            radius, border, background, opacity, angle, layer, quality: output.0, format: output.1, dpr: output.2, flags,
            page,
        }
    }
}
