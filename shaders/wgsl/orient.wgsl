// Mirrors and quarter turns: the host gives the input pixel of output pixel (0, 0) and the steps along both axes.

struct OrientJob {
    input: u32,
    output: u32,
    width: u32,
    height: u32,
    input_width: u32,
    origin_x: i32,
    origin_y: i32,
    // Change of the input position for one output pixel to the right, and for one downwards.
    right_x: i32,
    right_y: i32,
    down_x: i32,
    down_y: i32,
    alpha: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<OrientJob>;

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
        let from_x = job.origin_x + i32(x) * job.right_x + i32(y) * job.down_x;
        let from_y = job.origin_y + i32(x) * job.right_y + i32(y) * job.down_y;
        let word = arena[job.input + u32(from_y) * job.input_width + u32(from_x)];
        arena[job.output + y * job.width + x] = select(word | OPAQUE, word, job.alpha != 0u);
    }
}
