//! Being built.

/// Finds faces.
#[derive(Debug)]
pub struct FaceDetector;
