// A canvas of one color with the input drawn over it.

struct CanvasJob {
    input: u32,
    output: u32,
    width: u32,
    height: u32,
    input_width: u32,
    input_height: u32,
    left: i32,
    top: i32,
    fill: u32,
    alpha: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<CanvasJob>;

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
        let from_x = i32(x) - job.left;
        let from_y = i32(y) - job.top;
        var word = job.fill;
        if from_x >= 0 && from_y >= 0 && from_x < i32(job.input_width) && from_y < i32(job.input_height) {
            let drawn = arena[job.input + u32(from_y) * job.input_width + u32(from_x)];
            word = pack_pixel(source_over(unpack_pixel(drawn), 1.0, unpack_pixel(job.fill)));
        }
        arena[job.output + y * job.width + x] = select(word | OPAQUE, word, job.alpha != 0u);
    }
}
