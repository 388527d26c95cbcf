// A ring around the input. Input and ring do not overlap, so that premultiplied values add.

struct BorderJob {
    input: u32,
    output: u32,
    width: u32,
    height: u32,
    input_width: u32,
    input_height: u32,
    ring: u32,
    color: u32,
    // The outline of the input, which is the inner edge of the ring, and the one of the whole output.
    inner: Outline,
    outer: Outline,
    alpha: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<BorderJob>;

@compute @workgroup_size(16, 4)
fn main(
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
        let point = vec2<f32>(f32(x), f32(y)) + 0.5;
        let from_x = i32(x) - i32(job.ring);
        let from_y = i32(y) - i32(job.ring);
        var inner = 0.0;
        var drawn = vec4<f32>(0.0);
        if from_x >= 0 && from_y >= 0 && from_x < i32(job.input_width) && from_y < i32(job.input_height) {
            let size = vec2<f32>(f32(job.input_width), f32(job.input_height));
            inner = coverage(job.inner, vec2<f32>(f32(from_x), f32(from_y)) + 0.5, size);
            drawn = unpack_pixel(arena[job.input + u32(from_y) * job.input_width + u32(from_x)]);
        }
        let outer = coverage(job.outer, point, vec2<f32>(f32(job.width), f32(job.height)));
        let color = unpack_pixel(job.color);
        let ring = color.a * max(outer - inner, 0.0);
        let cover = min(drawn.a + ring, 1.0);
        var word = 0u;
        if cover > 0.0 {
            word = pack_pixel(vec4<f32>((drawn.rgb * drawn.a + color.rgb * ring) / cover, cover));
        }
        arena[job.output + y * job.width + x] = select(word | OPAQUE, word, job.alpha != 0u);
    }
}
