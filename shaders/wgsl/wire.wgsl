// The forms in which pictures travel to and from the device, which are smaller than the words that kernels work on.

struct WireJob {
    // Of `planar` and `rgb`: the byte of the arena where luma, or the first triplet, begins. Of `pack`: a word.
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
    // Pixels from the first chroma sample's first pixel to the picture's first pixel.
    phase_x: u32,
    phase_y: u32,
    // Of `pack`: pixels of the picture; `width` and `height` then count groups of four pixels, in any order.
    pixels: u32,
}

@group(0) @binding(2) var<storage, read> jobs: array<WireJob>;

fn byte_at(index: u32) -> i32 {
    return i32((arena[index >> 2u] >> ((index & 3u) * 8u)) & 0xffu);
}

// Three parts of the nearer sample and one of the further along each coarse axis, rounded as libjpeg does.
fn upsampled(plane: u32, job: WireJob, x: u32, y: u32) -> i32 {
    let at_x = x + job.phase_x;
    let at_y = y + job.phase_y;
    let near_x = at_x >> job.shift_x;
    let near_y = at_y >> job.shift_y;
    let right = (at_x & 1u) == 1u;
    let below = (at_y & 1u) == 1u;
    let far_x = select(max(near_x, 1u) - 1u, min(near_x + 1u, job.chroma_width - 1u), right);
    let far_y = select(max(near_y, 1u) - 1u, min(near_y + 1u, job.chroma_height - 1u), below);
    let near_row = plane + near_y * job.chroma_width;
    let far_row = plane + far_y * job.chroma_width;
    let near = byte_at(near_row + near_x);
    if job.shift_x == 0u && job.shift_y == 0u {
        return near;
    }
    if job.shift_y == 0u {
        return (3 * near + byte_at(near_row + far_x) + select(1, 2, right)) >> 2u;
    }
    if job.shift_x == 0u {
        return (3 * near + byte_at(far_row + near_x) + select(1, 2, below)) >> 2u;
    }
    let near_column = 3 * near + byte_at(far_row + near_x);
    let far_column = 3 * byte_at(near_row + far_x) + byte_at(far_row + far_x);
    return (3 * near_column + far_column + select(8, 7, right)) >> 4u;
}

// Full-range BT.601 in 16.16 fixed point. Source: JFIF 1.02.
fn word_of(luma: i32, cb: i32, cr: i32) -> u32 {
    let rgb = vec3<i32>(
        luma + ((91881 * cr + 32768) >> 16u),
        luma + ((-22554 * cb - 46802 * cr + 32768) >> 16u),
        luma + ((116130 * cb + 32768) >> 16u),
    );
    let bytes = vec3<u32>(clamp(rgb, vec3<i32>(0), vec3<i32>(255)));
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | OPAQUE;
}

// Y, Cb and Cr planes to pixels.
@compute @workgroup_size(16, 4)
fn planar(
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
        var cb = 0;
        var cr = 0;
        if job.chroma_width != 0u {
            cb = upsampled(job.cb, job, x, y) - 128;
            cr = upsampled(job.cr, job, x, y) - 128;
        }
        arena[job.output + at] = word_of(byte_at(job.input + at), cb, cr);
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
