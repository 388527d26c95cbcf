// The forms in which pictures travel to and from the device, which are smaller than the words that kernels work on.

struct WireJob {
    // Of `spread` and `rgb`: the byte of the arena where luma, or the first triplet, begins. Of `pack`: a word.
    input: u32,
    // Bytes where the chroma planes begin.
    cb: u32,
    cr: u32,
    // A word.
    output: u32,
    width: u32,
    height: u32,
    // 0 for a gray picture.
    chroma_width: u32,
    chroma_height: u32,
    // 1 where chroma has one sample for two pixels.
    shift_x: u32,
    shift_y: u32,
    // Of `pack` and `column`: pixels of the picture or samples of the plane; `width` and `height` then count groups of
    // four of them, in order.
    pixels: u32,
    // Samples from one row to the next, where that is not `width`.
    stride: u32,
    // Words of the tables: three for each output sample (first input sample, count, first weight), then the weights.
    taps: u32,
    weights: u32,
    chroma_taps: u32,
    chroma_weights: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<WireJob>;
@group(0) @binding(3) var<storage, read> tables: array<u32>;

fn byte_at(index: u32) -> f32 {
    return f32((arena[index >> 2u] >> ((index & 3u) * 8u)) & 0xffu);
}

// Chroma at a pixel, interpolated linearly between its centers: three parts of the nearer sample and one of the further.
fn upsampled(plane: u32, job: WireJob, x: u32, y: u32) -> f32 {
    let near = vec2<u32>(x >> job.shift_x, y >> job.shift_y);
    var far = near;
    if job.shift_x != 0u {
        far.x = select(max(near.x, 1u) - 1u, min(near.x + 1u, job.chroma_width - 1u), (x & 1u) == 1u);
    }
    if job.shift_y != 0u {
        far.y = select(max(near.y, 1u) - 1u, min(near.y + 1u, job.chroma_height - 1u), (y & 1u) == 1u);
    }
    let near_row = plane + near.y * job.chroma_width;
    let far_row = plane + far.y * job.chroma_width;
    let near_column = byte_at(near_row + near.x) * 0.75 + byte_at(far_row + near.x) * 0.25;
    let far_column = byte_at(near_row + far.x) * 0.75 + byte_at(far_row + far.x) * 0.25;
    return near_column * 0.75 + far_column * 0.25;
}

// Full-range BT.601, 0 to 255 and beyond. Source: JFIF 1.02.
fn rgb_of(luma: f32, blue: f32, red: f32) -> vec3<f32> {
    return vec3<f32>(luma + 1.402 * red, luma - 0.3441363 * blue - 0.7141363 * red, luma + 1.772 * blue);
}

fn word_of(rgb: vec3<f32>) -> u32 {
    let bytes = vec3<u32>(floor(clamp(rgb, vec3<f32>(0.0), vec3<f32>(255.0)) + 0.5));
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | OPAQUE;
}

// The pixel at a position of the planes, not rounded.
fn color_at(job: WireJob, stride: u32, x: u32, y: u32) -> vec3<f32> {
    var blue = 0.0;
    var red = 0.0;
    if job.chroma_width != 0u {
        blue = upsampled(job.cb, job, x, y) - 128.0;
        red = upsampled(job.cr, job, x, y) - 128.0;
    }
    return rgb_of(byte_at(job.input + y * stride + x), blue, red);
}

// Linear light of encoded values from 0 to 1. Source: IEC 61966-2-1.
fn linear_light(encoded: vec3<f32>) -> vec3<f32> {
    let x = clamp(encoded, vec3<f32>(0.0), vec3<f32>(1.0));
    return select(pow((x + 0.055) / 1.055, vec3<f32>(2.4)), x / 12.92, x < vec3<f32>(0.04045));
}

// A column of an intermediate, weighted.
fn column_sum(from_word: u32, stride: u32, taps_at: u32, weights_at: u32, x: u32, y: u32) -> f32 {
    let taps = taps_at + 3u * y;
    let start = tables[taps];
    let count = tables[taps + 1u];
    let weights = weights_at + tables[taps + 2u];
    var sum = 0.0;
    for (var i = 0u; i < count; i++) {
        sum += bitcast<f32>(tables[weights + i]) * bitcast<f32>(arena[from_word + (start + i) * stride + x]);
    }
    return sum;
}

// Planes of luma and color differences to pixels.
@compute @workgroup_size(16, 4)
fn spread(
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
    if x >= job.width {
        return;
    }
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let at = y * job.width + x;
        arena[job.output + at] = word_of(color_at(job, job.width, x, y));
    }
}

// Triplets of bytes to opaque pixels.
@compute @workgroup_size(16, 4)
fn rgb(
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
    if x >= job.width {
        return;
    }
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let at = y * job.width + x;
        let byte = job.input + 3u * at;
        // The triplet begins in this word and may end in the next.
        let shift = (byte & 3u) * 8u;
        var word = arena[byte >> 2u] >> shift;
        if shift > 8u {
            word |= arena[(byte >> 2u) + 1u] << (32u - shift);
        }
        arena[job.output + at] = word | OPAQUE;
    }
}

// Opaque pixels to triplets: four pixels become three words. Pixels after the last are zeros.
@compute @workgroup_size(16, 4)
fn pack(
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
    if x >= job.width {
        return;
    }
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let four = y * job.width + x;
        var words = vec4<u32>(0u);
        for (var i = 0u; i < 4u; i++) {
            if 4u * four + i < job.pixels {
                words[i] = arena[job.input + 4u * four + i] & 0xffffffu;
            }
        }
        if 4u * four < job.pixels {
            let to = job.output + 3u * four;
            arena[to] = words.x | (words.y << 24u);
            arena[to + 1u] = (words.y >> 8u) | (words.z << 16u);
            arena[to + 2u] = (words.z >> 16u) | (words.w << 8u);
        }
    }
}

// The rows of one plane, resampled in encoded values to one f32 a sample.
@compute @workgroup_size(16, 4)
fn row(
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
    if x >= job.width {
        return;
    }
    let taps = job.taps + 3u * x;
    let start = tables[taps];
    let count = tables[taps + 1u];
    let weights = job.weights + tables[taps + 2u];
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let row = job.input + y * job.stride + start;
        var sum = 0.0;
        for (var i = 0u; i < count; i++) {
            sum += bitcast<f32>(tables[weights + i]) * byte_at(row + i);
        }
        arena[job.output + y * job.width + x] = bitcast<u32>(sum);
    }
}

// The rows of all planes as pixels in linear light, resampled into what the second pass of `resample` reads.
@compute @workgroup_size(16, 4)
fn light(
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
    if x >= job.width {
        return;
    }
    let taps = job.taps + 3u * x;
    let start = tables[taps];
    let count = tables[taps + 1u];
    let weights = job.weights + tables[taps + 2u];
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        var sum = vec3<f32>(0.0);
        var cover = 0.0;
        for (var i = 0u; i < count; i++) {
            let weight = bitcast<f32>(tables[weights + i]);
            sum += weight * linear_light(color_at(job, job.stride, start + i, y) / 255.0);
            cover += weight;
        }
        let at = job.output + 4u * (y * job.width + x);
        let words = bitcast<vec3<u32>>(sum);
        arena[at] = words.x;
        arena[at + 1u] = words.y;
        arena[at + 2u] = words.z;
        arena[at + 3u] = bitcast<u32>(cover);
    }
}

// The columns of three planes that `row` made, to pixels.
@compute @workgroup_size(16, 4)
fn join(
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
    if x >= job.width {
        return;
    }
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let luma = column_sum(job.input, job.width, job.taps, job.weights, x, y);
        var blue = 0.0;
        var red = 0.0;
        if job.chroma_width != 0u {
            blue = column_sum(job.cb, job.width, job.chroma_taps, job.chroma_weights, x, y) - 128.0;
            red = column_sum(job.cr, job.width, job.chroma_taps, job.chroma_weights, x, y) - 128.0;
        }
        arena[job.output + y * job.width + x] = word_of(rgb_of(luma, blue, red));
    }
}

// The columns of one plane that `row` made, to four bytes a word. Samples after the last are zeros.
@compute @workgroup_size(16, 4)
fn column(
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
    if x >= job.width {
        return;
    }
    let end = min(origin.y + TILE_SIDE, job.height);
    for (var y = origin.y + local.y; y < end; y += GROUP_ROWS) {
        let four = y * job.width + x;
        var word = 0u;
        for (var i = 0u; i < 4u; i++) {
            let sample = 4u * four + i;
            if sample < job.pixels {
                let sum = column_sum(
                    job.input,
                    job.stride,
                    job.taps,
                    job.weights,
                    sample % job.stride,
                    sample / job.stride,
                );
                word |= u32(floor(clamp(sum, 0.0, 255.0) + 0.5)) << (8u * i);
            }
        }
        if 4u * four < job.pixels {
            arena[job.output + four] = word;
        }
    }
}
