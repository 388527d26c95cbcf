// One picture over another, clipped to the lower one.

struct CompositeJob {
    base: u32,
    layer: u32,
    output: u32,
    width: u32,
    height: u32,
    layer_width: u32,
    layer_height: u32,
    left: i32,
    top: i32,
    opacity: f32,
    alpha: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<CompositeJob>;

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
        let from_x = i32(x) - job.left;
        let from_y = i32(y) - job.top;
        var word = arena[job.base + at];
        if from_x >= 0 && from_y >= 0 && from_x < i32(job.layer_width) && from_y < i32(job.layer_height) {
            let drawn = arena[job.layer + u32(from_y) * job.layer_width + u32(from_x)];
            word = pack_pixel(source_over(unpack_pixel(drawn), job.opacity, unpack_pixel(word)));
        }
        arena[job.output + at] = select(word | OPAQUE, word, job.alpha != 0u);
    }
}
