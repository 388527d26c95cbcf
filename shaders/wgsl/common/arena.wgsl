// Every surface of a window lies in one buffer of words. A pixel is one word: straight 8-bit sRGB, red in the low byte.

// Which job a workgroup serves, and which square of TILE_SIDE pixels of that job's output: x in the low half.
struct Tile {
    job: u32,
    place: u32,
}

const TILE_SIDE: u32 = 16u;
// A workgroup is TILE_SIDE wide; each of its invocations takes every GROUP_ROWS-th row of the tile.
const GROUP_ROWS: u32 = 4u;

@group(0) @binding(0) var<storage, read_write> arena: array<u32>;
@group(0) @binding(1) var<storage, read> tiles: array<Tile>;

// Dispatches are two-dimensional only because one dimension is limited; the last row may be longer than the table.
fn tile_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

fn tile_origin(tile: Tile) -> vec2<u32> {
    return vec2<u32>(tile.place & 0xffffu, tile.place >> 16u) * TILE_SIDE;
}
