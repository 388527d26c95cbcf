// Every surface of a window lies in one buffer of words. A pixel is one word: straight 8-bit sRGB, red in the low byte.

// The workgroups of one job: the number of its first, and how many squares of TILE_SIDE pixels lie across its output.
// The last entry is no job but the end of the one before.
struct Tile {
    first: u32,
    across: u32,
}

const TILE_SIDE: u32 = 16u;
// A workgroup is TILE_SIDE wide; each of its invocations takes every GROUP_ROWS-th row of the tile.
const GROUP_ROWS: u32 = 4u;

@group(0) @binding(0) var<storage, read_write> arena: array<u32>;
@group(0) @binding(1) var<storage, read> tiles: array<Tile>;

// Which job a workgroup serves, and the first pixel of its square.
struct Place {
    job: u32,
    origin: vec2<u32>,
    // Dispatches are two-dimensional only because one dimension is limited; their last row may be too long.
    inside: bool,
}

fn place_of(group: vec3<u32>, groups: vec3<u32>) -> Place {
    let index = group.y * groups.x + group.x;
    var low = 0u;
    var high = arrayLength(&tiles) - 1u;
    let inside = index < tiles[high].first;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if tiles[middle].first <= index {
            low = middle;
        } else {
            high = middle;
        }
    }
    let tile = tiles[low];
    let within = index - tile.first;
    return Place(low, vec2<u32>(within % tile.across, within / tile.across) * TILE_SIDE, inside);
}
