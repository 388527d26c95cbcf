//! The rows of planes that a resampling reads: all of them, or those that it still needs of a picture that is just decoded.

use crate::bands::{Band, Layout, PlaneBands};
use crate::plan::bind::Chroma;
use crate::plan::geometry::Size;
use crate::plan::step::Light;
use crate::plan::weights::Weights;
use crate::planes::{Plane, Planes, Subsampling, neighbors};
use crate::pool;

/// Rows of a plane, of which the last `n_held` that were asked for can be read.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub size: Size,
    samples: &'a [u8],
    stride: usize,
    n_held: u32,
}

impl<'a> Rows<'a> {
    fn whole(plane: &'a Plane) -> Self {
        Rows { size: plane.size(), samples: plane.samples(), stride: plane.stride(), n_held: plane.size().height }
    }

    #[inline(always)]
    pub fn row(&self, y: u32) -> &'a [u8] {
        // Rows of a whole plane are all there, and a division is not for nothing.
        let slot = if y < self.n_held { y } else { y % self.n_held };
        &self.samples[slot as usize * self.stride..][..self.size.width as usize]
    }
}

/// Planes whose rows come in the order in which they are needed.
pub(super) trait Feed {
    fn size(&self) -> Size;
    fn subsampling(&self) -> Subsampling;
    fn has_chroma(&self) -> bool;

    /// Makes sure that the rows for output row `y` are there. Errors when the picture is damaged.
    fn hold(&mut self, y: usize) -> Result<(), String>;

    /// Reads what is left, so that a damaged end is found. What was held may be gone then.
    fn finish(&mut self) -> Result<(), String>;

    fn luma(&self) -> Rows<'_>;

    /// Blue and red difference.
    fn chroma(&self) -> Option<[Rows<'_>; 2]>;
}

impl Feed for &Planes {
    fn size(&self) -> Size {
        Planes::size(self)
    }

    fn subsampling(&self) -> Subsampling {
        Planes::subsampling(self)
    }

    fn has_chroma(&self) -> bool {
        Planes::chroma(self).is_some()
    }

    #[inline(always)]
    fn hold(&mut self, _: usize) -> Result<(), String> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }

    #[inline(always)]
    fn luma(&self) -> Rows<'_> {
        Rows::whole(Planes::luma(self))
    }

    #[inline(always)]
    fn chroma(&self) -> Option<[Rows<'_>; 2]> {
        Planes::chroma(self).map(|planes| planes.each_ref().map(Rows::whole))
    }
}

/// Input rows of luma and of chroma that an output row reads, as first and one past the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reads {
    luma: (u32, u32),
    chroma: Option<(u32, u32)>,
}

/// A schedule of what is read for each row of the output, in order.
fn schedule(layout: &Layout, vertical: &Weights, light: Light, chroma: &Chroma) -> Vec<Reads> {
    let span = |weights: &Weights, y: usize| weights.taps.get(y).map(|taps| (taps.start, taps.start + taps.count));
    let (down, height) = (layout.subsampling.down, layout.planes.last().map_or(1, |plane| plane.size.height));
    (0..vertical.taps.len())
        .map(|y| {
            let luma = span(vertical, y).unwrap_or((0, 0));
            let chroma = match (light, chroma.output) {
                _ if layout.planes.len() < 3 => None,
                // Chroma is interpolated for rows of luma.
                (Light::Linear, _) => {
                    let ends = [luma.0, luma.1.saturating_sub(1)].map(|row| neighbors(row, down, height));
                    let rows = ends.iter().flat_map(|(near, far)| [*near, *far]);
                    let (first, last) = (rows.clone().min().unwrap_or(0), rows.max().unwrap_or(0));
                    Some((first, last + 1))
                }
                (Light::Encoded, None) => span(&chroma.vertical, y),
                (Light::Encoded, Some(kept)) => {
                    let kept = kept.down as usize;
                    if y.is_multiple_of(kept) { span(&chroma.vertical, y / kept) } else { None }
                }
            };
            Reads { luma, chroma }
        })
        .collect()
}

/// A picture that is decoded while it is resampled. Of each plane a ring of rows is held, as many as the schedule needs.
pub(super) struct Window<'a, 'b> {
    bands: &'a mut (dyn PlaneBands + 'b),
    layout: Layout,
    schedule: Vec<Reads>,
    /// For every plane its rows, and how many.
    rings: Vec<(Vec<u8>, usize)>,
    /// Rows of units that were read.
    n_read: u32,
}

impl<'a, 'b> Window<'a, 'b> {
    pub fn new(
        bands: &'a mut (dyn PlaneBands + 'b),
        vertical: &Weights,
        light: Light,
        chroma: &Chroma,
    ) -> Result<Self, String> {
        let layout = bands.layout().clone();
        if !matches!(layout.planes.len(), 1 | 3) || layout.planes.iter().any(|plane| plane.unit_rows == 0) {
            return Err("the picture comes in no planes that are known".into());
        }
        let schedule = schedule(&layout, vertical, light, chroma);
        let rings = n_units(&layout, &schedule).into_iter().zip(&layout.planes);
        let rings = rings.map(|(units, plane)| (pool::take(units * plane.unit_bytes()), units)).collect();
        Ok(Window { bands, layout, schedule, rings, n_read: 0 })
    }

    /// Bytes of the rows that are held.
    pub fn bytes(&self) -> u64 {
        self.rings.iter().map(|(samples, _)| samples.len() as u64).sum()
    }

    fn rows(&self, plane: usize) -> Rows<'_> {
        let (layout, (samples, units)) = (&self.layout.planes[plane], &self.rings[plane]);
        let n_held = (units * layout.unit_rows) as u32;
        Rows { size: layout.size, samples, stride: layout.stride, n_held }
    }

    #[inline(never)]
    fn read(&mut self) -> Result<(), String> {
        let parts = self.rings.iter_mut().zip(&self.layout.planes);
        let mut bands: Vec<Band<'_>> = parts
            .map(|((samples, units), plane)| {
                let begin = self.n_read as usize % *units * plane.unit_bytes();
                Band { samples: &mut samples[begin..begin + plane.unit_bytes()], stride: plane.stride }
            })
            .collect();
        self.bands.read(&mut bands).ok_or("the picture is damaged")?;
        self.n_read += 1;
        Ok(())
    }
}

impl Drop for Window<'_, '_> {
    fn drop(&mut self) {
        self.rings.drain(..).for_each(|(samples, _)| pool::give(samples));
    }
}

/// Rows of units that have been read when these rows of a plane are there.
fn read_for(reads: (u32, u32), unit_rows: usize) -> usize {
    (reads.1 as usize).div_ceil(unit_rows)
}

fn reads_of(layout: &Layout, reads: &Reads, plane: usize) -> Option<((u32, u32), usize)> {
    let of = if plane == 0 { Some(reads.luma) } else { reads.chroma };
    of.zip(layout.planes.get(plane).map(|plane| plane.unit_rows))
}

/// For every plane the rows of units that have to be held at once.
fn n_units(layout: &Layout, schedule: &[Reads]) -> Vec<usize> {
    let mut read = 0;
    let read: Vec<usize> = schedule
        .iter()
        .map(|reads| {
            let needed = (0..layout.planes.len())
                .filter_map(|plane| reads_of(layout, reads, plane))
                .map(|(rows, unit_rows)| read_for(rows, unit_rows));
            read = needed.max().unwrap_or(0).max(read);
            read
        })
        .collect();
    let most = |plane: usize| {
        let (mut first, mut most) = (usize::MAX, 1);
        for (reads, read) in schedule.iter().zip(&read).rev() {
            if let Some((rows, unit_rows)) = reads_of(layout, reads, plane) {
                first = first.min(rows.0 as usize / unit_rows);
            }
            // Nothing that is read later begins above `first`.
            most = most.max(read.saturating_sub(first));
        }
        most
    };
    (0..layout.planes.len()).map(most).collect()
}

impl Feed for Window<'_, '_> {
    fn size(&self) -> Size {
        self.layout.size
    }

    fn subsampling(&self) -> Subsampling {
        self.layout.subsampling
    }

    fn has_chroma(&self) -> bool {
        self.layout.planes.len() == 3
    }

    fn hold(&mut self, y: usize) -> Result<(), String> {
        let Some(reads) = self.schedule.get(y).copied() else { return Err(format!("row {y} is not wanted")) };
        for plane in 0..self.layout.planes.len() {
            if let Some((rows, unit_rows)) = reads_of(&self.layout, &reads, plane) {
                while (self.n_read as usize) < read_for(rows, unit_rows) {
                    self.read()?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        while self.n_read < self.layout.n_units {
            self.read()?;
        }
        Ok(())
    }

    fn luma(&self) -> Rows<'_> {
        self.rows(0)
    }

    fn chroma(&self) -> Option<[Rows<'_>; 2]> {
        self.has_chroma().then(|| [self.rows(1), self.rows(2)])
    }
}
