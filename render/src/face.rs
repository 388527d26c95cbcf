//! Being built.

use crate::error::Result;
use crate::frame::Frame;
use crate::plan::geometry::RectF;

/// Finds faces.
#[derive(Debug)]
pub struct FaceDetector;

impl FaceDetector {
    pub fn new() -> Result<Self> {
        Ok(FaceDetector)
    }
    pub fn detect(&self, _frame: &Frame) -> Vec<RectF> {
        Vec::new()
    }
}
