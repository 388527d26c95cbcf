//! Memory that a JPEG of several scans costs its decoder: the coefficients of the whole picture, because every scan adds to
//! them. Nothing but the file says so.

/// Bytes of one coefficient.
const COEFFICIENT_BYTES: u64 = 2;
/// Coefficients of one block.
const BLOCK: u64 = 64;

/// Bytes that decoding a file holds beside the pixels and the file: two for every coefficient of a progressive JPEG, or of
/// one whose components come one after the other; 0 for every other file, and for one that is no picture.
///
/// Source: ITU-T T.81, B.2 (frame and scan headers) and A.2 (blocks are padded to whole units).
pub fn coefficient_bytes(file: &[u8]) -> u64 {
    frame_bytes(file).unwrap_or(0)
}

fn frame_bytes(file: &[u8]) -> Option<u64> {
    let mut rest = file.strip_prefix(&[0xFF, 0xD8])?;
    let mut frame: Option<Frame> = None;
    loop {
        let at = rest.iter().position(|byte| *byte == 0xFF)?;
        rest = rest.get(at + 1..)?;
        let (&marker, after) = rest.split_first()?;
        rest = after;
        match marker {
            // Filling, stuffing and markers that stand alone.
            0x00 | 0x01 | 0xD0..=0xD8 => continue,
            0xFF => {
                rest = file.get(file.len() - rest.len() - 1..)?;
                continue;
            }
            0xD9 => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let segment = rest.get(2..length)?;
        rest = rest.get(length..)?;
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => frame = Some(Frame::read(marker, segment)?),
            0xDA => {
                let in_scan = usize::from(*segment.first()?);
                let frame = frame?;
                let one_scan = !frame.progressive && in_scan >= frame.components;
                return Some(if one_scan { 0 } else { frame.bytes });
            }
            _ => {}
        }
    }
}

struct Frame {
    progressive: bool,
    components: usize,
    bytes: u64,
}

impl Frame {
    fn read(marker: u8, segment: &[u8]) -> Option<Frame> {
        let [_, h1, h0, w1, w0, count, components @ ..] = segment else { return None };
        let (height, width) = (u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0]));
        let factors: Vec<(u64, u64)> = components
            .chunks_exact(3)
            .take(usize::from(*count))
            .map(|component| (u64::from(component[1] >> 4).max(1), u64::from(component[1] & 15).max(1)))
            .collect();
        let across = factors.iter().map(|(h, _)| *h).max()?;
        let down = factors.iter().map(|(_, v)| *v).max()?;
        let units = u64::from(width).div_ceil(8 * across) * u64::from(height).div_ceil(8 * down);
        let blocks: u64 = factors.iter().map(|(h, v)| h * v).sum::<u64>() * units;
        let progressive = matches!(marker & 0x03, 0x02);
        Some(Frame { progressive, components: factors.len(), bytes: blocks * BLOCK * COEFFICIENT_BYTES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of three components, the first with these factors, and the beginning of a scan of `in_scan` of them.
    fn header(frame: u8, factors: u8, in_scan: u8) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0xFF, 0xC0, 0xFF, 0xFF, frame, 0, 17, 8];
        file.extend([4000_u16.to_be_bytes(), 6000_u16.to_be_bytes()].concat());
        file.extend([3, 1, factors, 0, 2, 0x11, 0, 3, 0x11, 0]);
        file.extend([0xFF, 0xDA, 0, 3 + 2 * in_scan + 3, in_scan]);
        file.extend(vec![0; 40]);
        file
    }

    #[test]
    fn progressive_files_cost_two_bytes_for_every_coefficient() {
        // 375 by 250 units of 16 by 16 pixels, six blocks each.
        assert_eq!(coefficient_bytes(&header(0xC2, 0x22, 3)), 375 * 250 * 6 * 128);
        // Not subsampled: 24 million pixels, three components, two bytes.
        assert_eq!(coefficient_bytes(&header(0xC2, 0x11, 3)), 144_000_000);
    }

    #[test]
    fn one_scan_costs_nothing_and_one_for_each_component_does() {
        assert_eq!(coefficient_bytes(&header(0xC0, 0x22, 3)), 0);
        assert_eq!(coefficient_bytes(&header(0xC0, 0x22, 1)), 375 * 250 * 6 * 128);
    }

    #[test]
    fn whatever_is_no_jpeg_costs_nothing() {
        let whole = header(0xC2, 0x22, 3);
        for length in 0..whole.len() - 40 {
            coefficient_bytes(&whole[..length]);
        }
        assert_eq!(coefficient_bytes(b"\x89PNG\r\n\x1a\n"), 0);
        assert_eq!(coefficient_bytes(&[0xFF; 64]), 0);
        assert_eq!(coefficient_bytes(&[]), 0);
    }
}
