//! Sources in the form in which the twin uploads them, as frames.

use crate::backend::Source;
use crate::frame::Frame;
use std::sync::Arc;

/// The picture of a source; planes are upsampled and converted first.
pub(super) fn load(source: &Source) -> Arc<Frame> {
    match source {
        Source::Rgba(frame) => Arc::clone(frame),
        Source::Planar(frame) => Arc::new(frame.to_frame()),
    }
}
