//! Pictures in planes that are read from top to bottom, so that nobody has to hold all of their rows.

use crate::plan::geometry::Size;
use crate::planes::Subsampling;

/// Rows of one plane that a row of units fills.
pub struct Band<'a> {
    /// Rows of `stride` samples.
    pub samples: &'a mut [u8],
    pub stride: usize,
}

/// How a picture comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Size of the picture.
    pub size: Size,
    pub subsampling: Subsampling,
    /// Luma alone, or with blue and red difference.
    pub planes: Vec<PlaneLayout>,
    /// Rows of units in all.
    pub n_units: u32,
}

/// How one plane comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Size of the plane; the last unit may give more rows than that.
    pub size: Size,
    /// Rows in a row of units; at least 1.
    pub unit_rows: usize,
    /// Samples from one row to the next, at least the width.
    pub stride: usize,
}

impl PlaneLayout {
    /// Bytes of one row of units.
    pub fn unit_bytes(&self) -> usize {
        self.unit_rows * self.stride
    }
}

/// A picture in planes that is read from top to bottom.
pub trait PlaneBands {
    fn layout(&self) -> &Layout;

    /// Writes the next row of units, one band for every plane. `None` when the data is not as it should be, or when there
    /// are no more rows.
    fn read(&mut self, bands: &mut [Band<'_>]) -> Option<()>;
}
