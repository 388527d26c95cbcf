//! Whatever is asked for: a plan that holds together, or a refusal.

use crate::random_language::component;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_render::language::{Component, CropMode, Format, Gravity, Length, Transformation, parse};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::bind::{BoundPlan, Decoded, Kernel};
use tintype_render::plan::facts::{AcceptClass, Facts, Measure, Profile, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Orientation, RectF, Size};
use tintype_render::plan::step::{Light, Op, Step};
use tintype_render::plan::weights::Weights;
use tintype_render::plan::{self, Plan};
use tintype_render::{Error, Limits, codec, cpu};

fn side() -> impl Strategy<Value = u32> {
    prop_oneof![1 => 1..4_u32, 3 => 1..5000_u32]
}

fn size() -> impl Strategy<Value = Size> {
    (side(), side()).prop_map(|(width, height)| Size::new(width, height))
}

fn boxes(size: Size) -> impl Strategy<Value = Vec<RectF>> {
    let part = (0.0..1.0_f64, 0.0..1.0_f64, 0.001..1.0_f64, 0.001..1.0_f64);
    proptest::collection::vec(part, 0..4).prop_map(move |parts| {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let mut boxes: Vec<RectF> = parts
            .into_iter()
            .map(|(x, y, w, h)| RectF::new(x * width, y * height, (1.0 - x) * w * width, (1.0 - y) * h * height))
            .collect();
        boxes.sort_by(|a, b| b.area().total_cmp(&a.area()));
        boxes
    })
}

fn source() -> impl Strategy<Value = SourceFacts> {
    let format = prop_oneof![Just(Format::Jpeg), Just(Format::Png), Just(Format::WebP)];
    (size(), 1..=8_u16, format, any::<bool>())
        .prop_flat_map(|(size, orientation, format, alpha)| {
            let orientation = Orientation::from_exif(orientation);
            let upright = orientation.apply_size(size);
            let fixed = (Just(size), Just(orientation), Just(format), Just(alpha));
            (fixed, proptest::option::of(boxes(upright)), boxes(upright))
        })
        .prop_map(|((size, orientation, format, alpha), faces, custom)| SourceFacts {
            size,
            orientation,
            format,
            has_alpha: alpha && format != Format::Jpeg,
            faces,
            custom,
        })
}

fn purpose(profile: Profile) -> Purpose {
    Purpose { profile, extension: None, accept: AcceptClass { webp: true, avif: false } }
}

/// Resolves; whoever is asked for faces gives `found`.
fn resolve(
    transformation: &Transformation,
    facts: &mut Facts,
    profile: Profile,
    found: &[RectF],
) -> Result<Plan, Error> {
    let ids: Vec<String> = transformation.layer_ids().into_iter().map(str::to_owned).collect();
    for _ in 0..=ids.len() + 1 {
        match plan::resolve(transformation, facts, &purpose(profile), &Limits::default())? {
            Stage::Done(plan) => return Ok(plan),
            Stage::Measure(Measure::Faces { source: 0 }) => facts.base.faces = Some(found.to_vec()),
            Stage::Measure(Measure::Faces { source }) => {
                facts.layers.get_mut(&ids[source - 1]).expect("the layer is known").faces = Some(found.to_vec());
            }
        }
    }
    panic!("the planner asks again for what it was told");
}

fn output_size(plan: &Plan) -> Size {
    plan.steps[usize::from(plan.output.0)].size
}

/// What every plan promises.
fn check_plan(plan: &Plan, sources: &[SourceFacts]) -> Result<(), String> {
    let require = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let limits = Limits::default();
    require(plan.sources.len() == sources.len(), "one demand for every source")?;
    for (demand, facts) in plan.sources.iter().zip(sources) {
        require(demand.size == facts.size, "a demand has the size of its source")?;
        require(demand.scale > 0.0 && demand.scale <= 1.0, "the scale is in (0, 1]")?;
        let region = demand.region;
        require(region.width > 0 && region.height > 0, "something is read")?;
        let inside = u64::from(region.x) + u64::from(region.width) <= demand.size.width.into()
            && u64::from(region.y) + u64::from(region.height) <= demand.size.height.into();
        require(inside, "the region lies inside of the source")?;
    }
    require(usize::from(plan.output.0) < plan.steps.len(), "the output is a step")?;
    for (index, step) in plan.steps.iter().enumerate() {
        require(step.op.inputs().all(|input| usize::from(input.0) < index), "inputs precede outputs")?;
        let size = step.size;
        if !matches!(step.op, Op::Load { .. }) {
            require(limits.check_output(size.width.into(), size.height.into()).is_ok(), "sizes are within limits")?;
        }
        require(size.width > 0 && size.height > 0, "no surface is empty")?;
    }
    let format = plan.encoding.format;
    require(format.has_alpha() || !plan.steps[usize::from(plan.output.0)].alpha, "no alpha where it cannot be kept")?;
    let whole: Vec<Decoded> = plan.sources.iter().map(|demand| Decoded::whole(demand.size)).collect();
    let predicted: Vec<Decoded> =
        plan.sources.iter().zip(sources).map(|(demand, facts)| codec::predict(demand, facts.format)).collect();
    for decoded in [whole, predicted] {
        let bound = plan.bind(&decoded).map_err(|error| format!("binding to {decoded:?}: {error}"))?;
        require(cpu::peak_bytes(&bound) > 0, "the CPU could run it")?;
        check_bound(plan, &bound, &decoded)?;
    }
    Ok(())
}

fn check_bound(plan: &Plan, bound: &BoundPlan, decoded: &[Decoded]) -> Result<(), String> {
    for (index, (kernel, step)) in bound.kernels.iter().zip(&plan.steps).enumerate() {
        let size = bound.sizes[index];
        match kernel {
            Kernel::Load { source } => {
                if size != decoded[*source].window.size() {
                    return Err(format!("step {index} loads {size}"));
                }
                continue;
            }
            Kernel::Resample { input, horizontal, vertical, .. } => {
                let input = bound.size(*input);
                check_weights(horizontal, input.width, size.width).map_err(|error| format!("{index}: {error}"))?;
                check_weights(vertical, input.height, size.height).map_err(|error| format!("{index}: {error}"))?;
            }
            _ => {}
        }
        if size != step.size {
            return Err(format!("step {index} has {size} instead of {}", step.size));
        }
    }
    Ok(())
}

fn check_weights(weights: &Weights, input: u32, output: u32) -> Result<(), String> {
    if weights.taps.len() != output as usize {
        return Err(format!("{} outputs instead of {output}", weights.taps.len()));
    }
    for taps in &weights.taps {
        let values = &weights.values[taps.offset as usize..][..taps.count as usize];
        let sum: f32 = values.iter().sum();
        let inside = u64::from(taps.start) + u64::from(taps.count) <= input.into();
        if taps.count == 0 || !inside || sum.is_nan() || (sum - 1.0).abs() >= 1e-3 {
            return Err(format!("{taps:?} of {input} pixels add up to {sum}"));
        }
    }
    Ok(())
}

fn sources(transformation: &Transformation, facts: &Facts) -> Vec<SourceFacts> {
    let layers = transformation.layer_ids().into_iter().map(|id| facts.layers[id].clone());
    std::iter::once(facts.base.clone()).chain(layers).collect()
}

/// A step as it would be in the other profile.
fn without_light(step: &Step) -> Step {
    let mut step = step.clone();
    if let Op::Resample { map, .. } = &mut step.op {
        map.light = Light::Encoded;
    }
    step
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_resolves_to_a_sound_plan_or_is_refused(
        components in proptest::collection::vec(component(), 0..5),
        base in source(),
        layer in source(),
        faces in boxes(Size::new(300, 300)),
    ) {
        let transformation = Transformation { components };
        let layers: BTreeMap<String, SourceFacts> =
            transformation.layer_ids().into_iter().map(|id| (id.to_owned(), layer.clone())).collect();
        let mut facts = Facts { base, layers };
        let quality = resolve(&transformation, &mut facts, Profile::Quality, &faces);
        let fast = resolve(&transformation, &mut facts, Profile::Fast, &faces);
        let request = |profile| Request {
            transformation: Arc::new(transformation.clone()),
            facts: facts.clone(),
            purpose: purpose(profile),
        };
        match (quality, fast) {
            (Ok(quality), Ok(fast)) => {
                let sources = sources(&transformation, &facts);
                for plan in [&quality, &fast] {
                    let checked = check_plan(plan, &sources);
                    prop_assert!(checked.is_ok(), "{:?}: {:?}", checked, plan);
                }
                let steps = |plan: &Plan| plan.steps.iter().map(without_light).collect::<Vec<_>>();
                prop_assert_eq!(steps(&quality), steps(&fast));
                prop_assert_eq!((quality.output, quality.encoding), (fast.output, fast.encoding));
                for (quality, fast) in quality.sources.iter().zip(&fast.sources) {
                    prop_assert!(fast.scale <= quality.scale);
                }
                for (profile, plan) in [(Profile::Quality, &quality), (Profile::Fast, &fast)] {
                    let cost = pipeline::cost_bytes(&request(profile), &Limits::default()).unwrap();
                    let size = output_size(plan);
                    prop_assert!(cost >= size.pixels() * 4 && cost < 1 << 40, "{} bytes for {}", cost, size);
                }
            }
            (Err(quality), Err(fast)) => {
                prop_assert!(matches!(quality, Error::Limit(_) | Error::Semantic(_)), "{:?}", quality);
                prop_assert_eq!(quality, fast);
            }
            (quality, fast) => prop_assert!(false, "only one profile is refused: {:?}, {:?}", quality.err(), fast.err()),
        }
    }

    #[test]
    fn sizes_obey_the_rules_of_their_mode(
        base in source(),
        wanted in (1..900_u32, 1..900_u32),
        gravity in prop_oneof![Just(None), Just(Some(Gravity::Face(Default::default()))), Just(Some(Gravity::Custom))],
        faces in boxes(Size::new(200, 200)),
    ) {
        let upright = base.orientation.apply_size(base.size);
        let Size { width: across, height: down } = upright;
        let (w, h) = wanted;
        for mode in [
            CropMode::Scale, CropMode::Fit, CropMode::Limit, CropMode::Mfit, CropMode::Fill, CropMode::Lfill,
            CropMode::Pad, CropMode::Lpad, CropMode::Mpad, CropMode::Crop, CropMode::Thumb,
        ] {
            let component = Component {
                crop: Some(mode),
                width: Some(Length::Pixels(w)),
                height: Some(Length::Pixels(h)),
                gravity,
                ..Component::default()
            };
            let transformation = Transformation { components: vec![component] };
            let mut facts = Facts { base: base.clone(), layers: BTreeMap::new() };
            let plan = match resolve(&transformation, &mut facts, Profile::Quality, &faces) {
                Ok(plan) => plan,
                // The result may be too large only where the mode makes it larger than what was asked for.
                Err(error) => {
                    let grows = matches!(mode, CropMode::Mfit | CropMode::Mpad);
                    prop_assert!(grows && matches!(error, Error::Limit(_)), "{:?}: {:?}", mode, error);
                    continue;
                }
            };
            let out = output_size(&plan);
            let exact = out == Size::new(w, h);
            let touches = out.width == w || out.height == h;
            let rule = match mode {
                CropMode::Scale | CropMode::Fill | CropMode::Pad | CropMode::Lpad | CropMode::Thumb => exact,
                CropMode::Fit => out.width <= w && out.height <= h && touches,
                CropMode::Limit if across <= w && down <= h => out == upright,
                CropMode::Limit => out.width <= w.min(across) && out.height <= h.min(down) && touches,
                CropMode::Mfit if across >= w || down >= h => out == upright,
                CropMode::Mfit => out.width >= across && out.height >= down && touches,
                CropMode::Lfill => out.width <= w.min(across) && out.height <= h.min(down),
                CropMode::Mpad => out == Size::new(w.max(across), h.max(down)),
                CropMode::Crop => out == Size::new(w.min(across), h.min(down)),
            };
            prop_assert!(rule, "{:?} of {} into {}x{} gives {}", mode, upright, w, h, out);
        }
    }

    #[test]
    fn a_region_crop_never_leaves_the_source(base in source(), x in -9000..9000_i32, y in -9000..9000_i32, w in 1..6000_u32, h in 1..6000_u32) {
        let text = format!("c_crop,h_{h},w_{w},x_{x},y_{y}");
        let transformation = parse(&text, &Limits::default()).unwrap();
        let upright = base.orientation.apply_size(base.size);
        let mut facts = Facts { base, layers: BTreeMap::new() };
        let meets = |start: i32, length: u32, side: u32| {
            i64::from(start) < i64::from(side) && i64::from(start) + i64::from(length.min(side)) > 0
        };
        let meets = meets(x, w, upright.width) && meets(y, h, upright.height);
        match resolve(&transformation, &mut facts, Profile::Quality, &[]) {
            Ok(plan) => {
                let out = output_size(&plan);
                prop_assert!(meets && out.width <= w.min(upright.width) && out.height <= h.min(upright.height));
                let checked = check_plan(&plan, &[facts.base]);
                prop_assert!(checked.is_ok(), "{:?}", checked);
            }
            Err(error) => prop_assert!(!meets && matches!(error, Error::Semantic(_)), "{:?}", error),
        }
    }
}

#[test]
fn random_components_are_not_all_refused() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut sound = 0;
    for _ in 0..200 {
        let component = (component(), source()).new_tree(&mut runner).unwrap().current();
        let (transformation, base) = (Transformation { components: vec![component.0] }, component.1);
        let layers = transformation.layer_ids().into_iter().map(|id| (id.to_owned(), base.clone())).collect();
        let mut facts = Facts { base, layers };
        sound += u32::from(resolve(&transformation, &mut facts, Profile::Quality, &[]).is_ok());
    }
    assert!(sound > 60, "only {sound} of 200 were planned");
}

#[test]
fn absurd_values_are_refused_as_too_large() {
    let photo = SourceFacts {
        size: Size::new(3000, 2000),
        orientation: Orientation::IDENTITY,
        format: Format::Jpeg,
        has_alpha: false,
        faces: Some(vec![]),
        custom: vec![],
    };
    let repeated = ["w_20.0"; 5].join("/");
    for text in [
        "w_65000",
        "h_65000",
        "c_scale,h_65000,w_65000",
        "c_scale,w_4294967295",
        "c_fill,h_65000,w_65000",
        "c_pad,h_65000,w_65000",
        "c_mpad,h_65000,w_65000",
        "dpr_20,w_3000",
        "c_scale,dpr_20,h_0.9/w_2000",
        "w_20.0",
        &repeated,
        "bo_40000px_solid_red",
        "bo_3000px_solid_red,dpr_20",
        "l_logo,x_2000000000,y_2000000000",
        "l_logo,x_-2000000000,y_-2000000000",
        "l_logo,w_65000",
        "l_logo,x_1000.0,y_1000.0",
        "u_logo,x_60000,y_60000",
    ] {
        let transformation = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let layers = BTreeMap::from([("logo".to_owned(), photo.clone())]);
        let facts = Facts { base: photo.clone(), layers };
        for profile in [Profile::Quality, Profile::Fast] {
            let answer = plan::resolve(&transformation, &facts, &purpose(profile), &Limits::default());
            assert!(matches!(answer, Err(Error::Limit(_))), "{text}: {answer:?}");
        }
    }
}

#[test]
fn a_spoiled_plan_is_caught() {
    let base = SourceFacts {
        size: Size::new(300, 200),
        orientation: Orientation::IDENTITY,
        format: Format::Jpeg,
        has_alpha: false,
        faces: Some(vec![]),
        custom: vec![],
    };
    let transformation = parse("c_crop,h_100,w_100/c_scale,w_50/r_5/f_png", &Limits::default()).unwrap();
    let mut facts = Facts { base: base.clone(), layers: BTreeMap::new() };
    let good = resolve(&transformation, &mut facts, Profile::Quality, &[]).unwrap();
    let check = |plan: &Plan| check_plan(plan, std::slice::from_ref(&base));
    check(&good).expect("nothing is spoiled yet");
    let spoil = |change: fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        check(&plan).expect_err("the fault is seen");
    };
    spoil(|plan| plan.sources[0].scale = 1.5);
    spoil(|plan| plan.sources[0].region.x = 250);
    spoil(|plan| plan.steps.reverse());
    spoil(|plan| plan.steps[1].size = Size::new(60_000, 60_000));
    spoil(|plan| plan.encoding.format = Format::Jpeg);
    spoil(|plan| plan.steps[1].size = Size::new(49, 50));
}
