//! Reads AVIF files for tests and examples: boxes by hand, streams by libaom's decoder. Files of others may hold what this
//! does not know.

use libaom_sys as ffi;
use tintype_render::frame::Frame;
use tintype_render::plan::geometry::Size;
use tintype_render::planes::{Plane, Planes, Subsampling};

/// What `av1C` says of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated {
    pub profile: u8,
    pub level: u8,
    pub is_monochrome: bool,
    pub is_halved: bool,
}

/// A file taken apart.
pub struct Parts<'a> {
    /// Size that the file states.
    pub size: Size,
    /// Of the picture, then of its opacity when there is one.
    pub streams: Vec<&'a [u8]>,
    pub stated: Vec<Stated>,
}

/// Boxes one after the other: names and contents.
fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = number(bytes, 0, 4);
        found.push((bytes[4..8].try_into().unwrap(), &bytes[8..length]));
        bytes = &bytes[length..];
    }
    found
}

fn content<'a>(found: &[([u8; 4], &'a [u8])], name: &[u8; 4]) -> &'a [u8] {
    found.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {}", name.escape_ascii())).1
}

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Takes a file apart.
pub fn parts(file: &[u8]) -> Parts<'_> {
    let top = boxes(file);
    assert_eq!(&content(&top, b"ftyp")[..4], b"avif");
    let meta = boxes(&content(&top, b"meta")[4..]);
    let properties = boxes(content(&boxes(content(&meta, b"iprp")), b"ipco"));
    let extents = content(&properties, b"ispe");
    let size = Size::new(number(extents, 4, 4) as u32, number(extents, 8, 4) as u32);
    let configured = properties.iter().filter(|(name, _)| name == b"av1C").map(|(_, content)| Stated {
        profile: content[1] >> 5,
        level: content[1] & 31,
        is_monochrome: content[2] & 0x10 != 0,
        is_halved: content[2] & 0x0C == 0x0C,
    });
    let stated: Vec<_> = configured.collect();
    // The first items are the picture and its opacity, whatever the order of the data; metadata may follow.
    let mut items = locations(content(&meta, b"iloc"));
    items.sort_unstable();
    let streams = items.into_iter().take(stated.len()).map(|(_, from, length)| &file[from..from + length]).collect();
    Parts { size, streams, stated }
}

/// Number, offset and length of every item.
fn locations(iloc: &[u8]) -> Vec<(usize, usize, usize)> {
    let version = iloc[0];
    let sizes = [iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4].map(usize::from);
    let mut at = 8;
    let mut take = |length: usize| {
        at += length;
        number(iloc, at - length, length)
    };
    (0..number(iloc, 6, 2))
        .map(|_| {
            let item = take(2);
            take(if version > 0 { 4 } else { 2 });
            let base = take(sizes[2]);
            assert_eq!(take(2), 1, "one extent");
            (item, base + take(sizes[0]), take(sizes[1]))
        })
        .collect()
}

/// The first picture of a stream: its planes, one or three, and what they say of colors.
pub struct Decoded {
    pub planes: Vec<Plane>,
    pub is_halved: bool,
    /// Primaries, transfer, matrix; whether the range is full.
    pub colors: (u32, u32, u32, bool),
}

/// Decodes a stream.
pub fn decode(stream: &[u8]) -> Decoded {
    let config = ffi::aom_codec_dec_cfg { threads: 1, w: 0, h: 0, allow_lowbitdepth: 1 };
    // SAFETY: the context is opened, used and closed here; planes are copied before that, with the sizes that libaom gives.
    unsafe {
        let mut context: ffi::aom_codec_ctx_t = std::mem::zeroed();
        let version = ffi::AOM_DECODER_ABI_VERSION as i32;
        assert_eq!(ffi::aom_codec_dec_init_ver(&mut context, ffi::aom_codec_av1_dx(), &config, 0, version), 0);
        let code = ffi::aom_codec_decode(&mut context, stream.as_ptr(), stream.len(), std::ptr::null_mut());
        assert_eq!(code, 0, "the stream is read");
        let mut at = std::ptr::null();
        let image = ffi::aom_codec_get_frame(&mut context, &mut at).as_ref().expect("a picture");
        assert_eq!((image.bit_depth, image.fmt & ffi::AOM_IMG_FMT_HIGHBITDEPTH), (8, 0));
        let is_halved = image.x_chroma_shift == 1 && image.y_chroma_shift == 1;
        let full = Size::new(image.d_w, image.d_h);
        let small = if is_halved { Subsampling::HALF.apply(full) } else { full };
        let count = if image.monochrome != 0 { 1 } else { 3 };
        let planes = (0..count).map(|index| {
            let size = if index == 0 { full } else { small };
            let stride = image.stride[index] as usize;
            let row = |y: usize| std::slice::from_raw_parts(image.planes[index].add(y * stride), size.width as usize);
            Plane::new(size, size.width as usize, (0..size.height as usize).flat_map(row).copied().collect()).unwrap()
        });
        let planes = planes.collect();
        let colors = (image.cp, image.tc, image.mc, image.range == ffi::AOM_CR_FULL_RANGE);
        ffi::aom_codec_destroy(&mut context);
        Decoded { planes, is_halved, colors }
    }
}

/// The picture of a file, with its opacity.
pub fn read(file: &[u8]) -> Frame {
    let parts = parts(file);
    let color = decode(parts.streams[0]);
    let subsampling = if color.is_halved { Subsampling::HALF } else { Subsampling::NONE };
    let [luma, blue, red] = color.planes.try_into().unwrap();
    let frame = Planes::new(luma, Some([blue, red]), subsampling).unwrap().to_frame();
    assert_eq!(frame.size(), parts.size);
    let Some(opacity) = parts.streams.get(1) else { return frame };
    let [opacity] = <[Plane; 1]>::try_from(decode(opacity).planes).unwrap();
    assert_eq!(opacity.size(), parts.size);
    let mut pixels = frame.into_pixels();
    for (pixel, alpha) in pixels.chunks_exact_mut(4).zip(opacity.samples()) {
        pixel[3] = *alpha;
    }
    Frame::new(parts.size, true, pixels).unwrap()
}
