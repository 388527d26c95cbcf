// Alpha multiplied by the coverage of an outline that fills the surface.

struct MaskJob {
    input: u32,
    output: u32,
    width: u32,
    height: u32,
    outline: Outline,
    alpha: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<MaskJob>;

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
        let at = y * job.width + x;
        let word = arena[job.input + at];
        let point = vec2<f32>(f32(x), f32(y)) + 0.5;
        let cover = coverage(job.outline, point, vec2<f32>(f32(job.width), f32(job.height)));
        let masked = with_alpha(word, unpack_pixel(word).a * cover);
        arena[job.output + at] = select(word | OPAQUE, masked, job.alpha != 0u);
    }
}
