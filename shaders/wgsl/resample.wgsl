// Windowed-sinc resampling with weights from the plan: rows first, into premultiplied f32, then columns.

struct ResampleJob {
    input: u32,
    intermediate: u32,
    output: u32,
    input_width: u32,
    input_height: u32,
    output_width: u32,
    output_height: u32,
    // Words of the tables: three for each output pixel (first input pixel, count, first weight), then the weights.
    horizontal_taps: u32,
    horizontal_weights: u32,
    vertical_taps: u32,
    vertical_weights: u32,
    linear: u32,
    input_alpha: u32,
    output_alpha: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<ResampleJob>;
// The first 256 words are the linear values of the 256 encoded bytes.
@group(0) @binding(3) var<storage, read> tables: array<u32>;

fn linear_of(byte: u32) -> f32 {
    return bitcast<f32>(tables[byte & 0xffu]);
}

fn load_premultiplied(word: u32, linear: bool, alpha: bool) -> vec4<f32> {
    var color = unpack_pixel(word);
    if linear {
        color = vec4<f32>(linear_of(word), linear_of(word >> 8u), linear_of(word >> 16u), color.a);
    }
    if !alpha {
        return vec4<f32>(color.rgb, 1.0);
    }
    return vec4<f32>(color.rgb * color.a, color.a);
}

@compute @workgroup_size(16, 4)
fn horizontal(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let place = place_of(group, groups);
    if !place.inside {
        return;
    }
    let job = jobs[place.job];
    let origin = place.origin;
    let x = origin.x + local.x;
    if x >= job.output_width {
        return;
    }
    let taps = job.horizontal_taps + 3u * x;
    let start = tables[taps];
    let count = tables[taps + 1u];
    let weights = job.horizontal_weights + tables[taps + 2u];
    let linear = job.linear != 0u;
    let alpha = job.input_alpha != 0u;
    let end = min(origin.y + TILE_SIDE, job.input_height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let row = job.input + y * job.input_width + start;
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < count; i++) {
            sum += bitcast<f32>(tables[weights + i]) * load_premultiplied(arena[row + i], linear, alpha);
        }
        let at = job.intermediate + 4u * (y * job.output_width + x);
        let words = bitcast<vec4<u32>>(sum);
        arena[at] = words.x;
        arena[at + 1u] = words.y;
        arena[at + 2u] = words.z;
        arena[at + 3u] = words.w;
    }
}

@compute @workgroup_size(16, 4)
fn vertical(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let place = place_of(group, groups);
    if !place.inside {
        return;
    }
    let job = jobs[place.job];
    let origin = place.origin;
    let x = origin.x + local.x;
    if x >= job.output_width {
        return;
    }
    let end = min(origin.y + TILE_SIDE, job.output_height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let taps = job.vertical_taps + 3u * y;
        let start = tables[taps];
        let count = tables[taps + 1u];
        let weights = job.vertical_weights + tables[taps + 2u];
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < count; i++) {
            let at = job.intermediate + 4u * ((start + i) * job.output_width + x);
            let words = vec4<u32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
            sum += bitcast<f32>(tables[weights + i]) * bitcast<vec4<f32>>(words);
        }
        arena[job.output + y * job.output_width + x] = finish(sum, job.linear != 0u, job.output_alpha != 0u);
    }
}

// From a premultiplied sum, which ringing may have driven out of range, to a straight pixel.
fn finish(sum: vec4<f32>, linear: bool, alpha: bool) -> u32 {
    let cover = clamp(sum.a, 0.0, 1.0);
    // An alpha that rounds to nothing leaves a color that nobody sees; both twins make it black.
    if cover * 255.0 < 0.5 {
        return select(OPAQUE, 0u, alpha);
    }
    var color = clamp(sum.rgb, vec3<f32>(0.0), vec3<f32>(cover)) / cover;
    if linear {
        color = srgb_encode(color);
    }
    return pack_pixel(vec4<f32>(color, select(1.0, cover, alpha)));
}
