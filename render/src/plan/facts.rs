//! What is known of the pictures that a transformation reads, and what it is rendered for.

use super::geometry::{Orientation, RectF, Size};
use crate::language::Format;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the planner may know of one stored picture.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFacts {
    /// Size as stored, before EXIF orientation, in pixels.
    pub size: Size,
    /// What makes the stored picture upright.
    pub orientation: Orientation,
    /// Format as stored.
    pub format: Format,
    /// Whether the stored picture has an alpha channel.
    pub has_alpha: bool,
    /// Faces in pixels of the upright picture, largest first. `None`: nobody has looked yet; the planner asks when a step
    /// needs to know.
    pub faces: Option<Vec<RectF>>,
    /// Custom coordinates in pixels of the upright picture; empty when none are stored.
    pub custom: Vec<RectF>,
}

/// What is known of the base and of every layer, the latter by public id.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub base: SourceFacts,
    pub layers: BTreeMap<String, SourceFacts>,
}

/// Which trade between speed and quality a picture is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Linear-light resampling of a decode that keeps at least twice the output's resolution.
    #[default]
    Quality,
    /// The smallest scaled decode and sRGB-space resampling.
    Fast,
}

/// The modern formats that a client's `Accept` header names; wildcards name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct AcceptClass {
    pub webp: bool,
    pub avif: bool,
}

/// What a picture is rendered for, apart from the transformation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Purpose {
    pub profile: Profile,
    /// The format that the address asks for by its extension.
    pub extension: Option<Format>,
    pub accept: AcceptClass,
}

/// Something that only the pixels can tell, and that planning cannot go on without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Faces of source `source` (0 is the base, layers follow in order of first use).
    Faces { source: usize },
}

/// How far planning came.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    Done(super::Plan),
    /// Add what was measured to the facts and resolve again.
    Measure(Measure),
}
