//! Text to pixels: shaping, layout and rasterizing of glyphs, for text assets and for layers of text.
//!
//! Fonts are handed in as bytes. One small family, Arimo, is always there; it has the widths of Arial and goes by that
//! name too. Glyphs are rasterized on the processor: what comes out is an original like any other.

mod canvas;

use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::language::Color;
use crate::limits::Limits;
use canvas::{Canvas, Ink};
use cosmic_text::fontdb::{Database, Source};
use cosmic_text::{
    Attrs, Buffer, CacheKeyFlags, Family, FontSystem, LayoutRun, Metrics, PhysicalGlyph, Shaping, SwashCache,
    SwashImage, Weight, Wrap,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The family that is embedded.
pub const DEFAULT_FAMILY: &str = "Arimo";

/// Names under which the embedded family is asked for, unless there is a font of that name.
const ALIASES: &[&str] = &["arial", "helvetica", "sans-serif", "sans"];

const EMBEDDED: &[&[u8]] = &[
    include_bytes!("../assets/fonts/Arimo_400Regular.ttf"),
    include_bytes!("../assets/fonts/Arimo_400Regular_Italic.ttf"),
    include_bytes!("../assets/fonts/Arimo_700Bold.ttf"),
    include_bytes!("../assets/fonts/Arimo_700Bold_Italic.ttf"),
];

/// Most characters of one text.
pub const MAX_CHARS: usize = 4000;
/// Largest font size in pixels.
pub const MAX_SIZE_PX: f32 = 1000.0;
/// Glyphs up to this size are rasterized once a text, larger ones each time, which takes less memory.
const CACHED_SIZE_PX: f32 = 128.0;
/// Distance of lines as a part of the size, as Arial has it.
const LINE_HEIGHT: f32 = 1.15;
/// Middle of the underline below the baseline, and thickness of both lines, as parts of the size, as Arial has them.
const UNDERLINE: f32 = 0.106;
const STRIKE: f32 = 0.259;
const THICKNESS: f32 = 0.073;

/// On which side lines of different length end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// Left, but right where a line is written from right to left.
    #[default]
    Start,
    /// The opposite of `Start`.
    End,
    Left,
    Center,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    pub family: String,
    /// Pixels of an em.
    pub size_px: f32,
    /// 100 to 900.
    pub weight: u16,
    pub italic: bool,
    /// sRGB with straight alpha.
    pub color: Color,
    /// Behind the text, to the edges of its ink; may be transparent.
    pub background: Color,
    pub underline: bool,
    pub strikethrough: bool,
    pub align: Align,
    /// Pixels that are added to the distance of lines.
    pub line_spacing_px: f32,
    /// Pixels that are added between letters.
    pub letter_spacing_px: f32,
    /// Whether the font's instructions move outlines to whole pixels.
    pub hinting: bool,
    /// Whether pixels may be covered in part.
    pub antialias: bool,
    /// Lines that are wider are broken between words; `None` breaks at line feeds only.
    pub max_width_px: Option<u32>,
}

impl Default for Style {
    fn default() -> Self {
        Style {
            family: DEFAULT_FAMILY.to_owned(),
            size_px: 12.0,
            weight: 400,
            italic: false,
            color: Color::BLACK,
            background: Color::TRANSPARENT,
            underline: false,
            strikethrough: false,
            align: Align::Start,
            line_spacing_px: 0.0,
            letter_spacing_px: 0.0,
            hinting: false,
            antialias: true,
            max_width_px: None,
        }
    }
}

/// Fonts that texts can be drawn with.
pub struct Fonts {
    // Shaping needs the system to itself; a text takes about a millisecond.
    system: Mutex<FontSystem>,
    /// Names of families by their lower-case forms.
    families: BTreeMap<String, String>,
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fonts").field("families", &self.families).finish_non_exhaustive()
    }
}

impl Fonts {
    /// The embedded family and the fonts of further files (TrueType, OpenType, collections). Files that are no fonts are
    /// ignored: [`Fonts::families`] tells what is there.
    pub fn new(files: Vec<Vec<u8>>) -> Self {
        let mut database = Database::new();
        for bytes in EMBEDDED {
            database.load_font_source(Source::Binary(Arc::new(*bytes)));
        }
        for bytes in files {
            database.load_font_source(Source::Binary(Arc::new(bytes)));
        }
        database.set_sans_serif_family(DEFAULT_FAMILY);
        let names = database.faces().filter_map(|face| face.families.first());
        let families = names.map(|(name, _)| (name.to_lowercase(), name.clone())).collect();
        let system = FontSystem::new_with_locale_and_db("en-US".to_owned(), database);
        Fonts { system: Mutex::new(system), families }
    }

    /// Names of all families, in order.
    pub fn families(&self) -> Vec<&str> {
        self.families.values().map(String::as_str).collect()
    }

    /// The family of a name in any case. Error: [`Error::Semantic`], which names those that exist.
    pub fn family(&self, name: &str) -> Result<&str> {
        let wanted = name.trim().to_lowercase();
        let alias = || ALIASES.contains(&wanted.as_str()).then_some(DEFAULT_FAMILY);
        self.families.get(&wanted).map(String::as_str).or_else(alias).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            let known: Vec<&str> = self.families().into_iter().take(50).collect();
            Error::Semantic(format!("Unknown font family {shown}. Available are: {}", known.join(", ")))
        })
    }

    /// Draws a text, cut to its ink: a frame of straight sRGB RGBA.
    ///
    /// Errors: an unknown family, a text that is too long or leaves no ink, and sizes beyond the limits.
    pub fn draw(&self, text: &str, style: &Style, limits: &Limits) -> Result<Frame> {
        let family = self.family(&style.family)?;
        let text = checked(text, style)?;
        let line_height = (style.size_px * LINE_HEIGHT + style.line_spacing_px).max(1.0);
        let mut flags = CacheKeyFlags::empty();
        if !style.hinting {
            flags |= CacheKeyFlags::DISABLE_HINTING;
        }
        let attributes = Attrs::new()
            .family(Family::Name(family))
            .weight(Weight(style.weight.clamp(1, 1000)))
            .style(if style.italic { cosmic_text::Style::Italic } else { cosmic_text::Style::Normal })
            .letter_spacing(style.letter_spacing_px / style.size_px)
            .cache_key_flags(flags);
        let mut system = self.system.lock();
        let mut buffer = Buffer::new(&mut system, Metrics::new(style.size_px, line_height));
        buffer.set_wrap(if style.max_width_px.is_some() { Wrap::WordOrGlyph } else { Wrap::None });
        buffer.set_size(style.max_width_px.map(|width| width as f32), None);
        buffer.set_text(&text, &attributes, Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut system, false);
        let lines: Vec<Line> = buffer.layout_runs().map(|run| Line::of(&run)).collect();
        let widest = lines.iter().map(|line| line.width).fold(0.0, f32::max);
        let height = lines.len() as f32 * line_height;
        // Before a glyph is rasterized. Ink may reach beyond its line, but never far.
        limits.check_output(widest.ceil() as u64, height.ceil() as u64)?;
        let mut raster =
            Raster { system: &mut system, cache: SwashCache::new(), cached: style.size_px <= CACHED_SIZE_PX };
        let mut ink = Ink::default();
        for line in &lines {
            let x = line.offset(style.align, widest);
            for glyph in &line.glyphs {
                let glyph = glyph.physical((x, line.baseline), 1.0);
                raster.with(&glyph, |image| ink.add_glyph(&glyph, image));
            }
            for bar in line.bars(style, x) {
                ink.add_bar(bar);
            }
        }
        let area = ink.area().ok_or_else(|| Error::Semantic("The text has nothing to draw".into()))?;
        limits.check_output(area.width.into(), area.height.into())?;
        let mut canvas = Canvas::new(area, style.background);
        for line in &lines {
            let x = line.offset(style.align, widest);
            for glyph in &line.glyphs {
                let glyph = glyph.physical((x, line.baseline), 1.0);
                raster.with(&glyph, |image| canvas.draw_glyph(&glyph, image, style.color, style.antialias));
            }
            for bar in line.bars(style, x) {
                canvas.fill_bar(bar, style.color);
            }
        }
        canvas.into_frame()
    }
}

/// The text without what cannot be drawn, within the limits.
fn checked(text: &str, style: &Style) -> Result<String> {
    let chars = text.chars().count();
    if chars > MAX_CHARS {
        return Err(Error::Limit(format!("Text is too long. Maximum is {MAX_CHARS} characters. Got {chars}")));
    }
    if !(style.size_px >= 1.0 && style.size_px <= MAX_SIZE_PX) {
        return Err(Error::Limit(format!("Font size must be 1 to {MAX_SIZE_PX} pixels. Got {}", style.size_px)));
    }
    let text = text.replace("\r\n", "\n").replace('\t', " ");
    Ok(text.chars().filter(|character| *character == '\n' || !character.is_control()).collect())
}

/// One line as it was laid out, beginning at 0.
struct Line {
    glyphs: Vec<cosmic_text::LayoutGlyph>,
    left: f32,
    width: f32,
    baseline: f32,
    rtl: bool,
}

impl Line {
    fn of(run: &LayoutRun) -> Self {
        let left = run.glyphs.iter().map(|glyph| glyph.x).fold(f32::INFINITY, f32::min);
        let right = run.glyphs.iter().map(|glyph| glyph.x + glyph.w).fold(0.0, f32::max);
        let left = if left.is_finite() { left } else { 0.0 };
        Line { glyphs: run.glyphs.to_vec(), left, width: (right - left).max(0.0), baseline: run.line_y, rtl: run.rtl }
    }

    /// Where the line's origin goes, so that it lies right among lines up to `widest`.
    fn offset(&self, align: Align, widest: f32) -> f32 {
        let room = widest - self.width;
        let part = match align {
            Align::Left => 0.0,
            Align::Center => 0.5,
            Align::Right => 1.0,
            Align::Start => f32::from(u8::from(self.rtl)),
            Align::End => f32::from(u8::from(!self.rtl)),
        };
        room * part - self.left
    }

    /// Rectangles `[x, y, width, height]` of decorations, on whole rows so that they are sharp.
    fn bars(&self, style: &Style, x: f32) -> Vec<[i32; 4]> {
        let thickness = (style.size_px * THICKNESS).round().max(1.0);
        let mut middles = Vec::new();
        if style.underline {
            middles.push(self.baseline + style.size_px * UNDERLINE);
        }
        if style.strikethrough {
            middles.push(self.baseline - style.size_px * STRIKE);
        }
        let (left, right) = ((x + self.left).floor() as i32, (x + self.left + self.width).ceil() as i32);
        let bar = |middle: f32| [left, (middle - thickness / 2.0).round() as i32, right - left, thickness as i32];
        middles.into_iter().map(bar).filter(|bar| bar[2] > 0).collect()
    }
}

/// Rasterizes glyphs, once or each time.
struct Raster<'a> {
    system: &'a mut FontSystem,
    cache: SwashCache,
    cached: bool,
}

impl Raster<'_> {
    fn with(&mut self, glyph: &PhysicalGlyph, mut use_it: impl FnMut(&SwashImage)) {
        if self.cached {
            if let Some(image) = self.cache.get_image(self.system, glyph.cache_key) {
                use_it(image);
            }
        } else if let Some(image) = self.cache.get_image_uncached(self.system, glyph.cache_key) {
            use_it(&image);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn draw(text: &str, style: &Style) -> Frame {
        Fonts::new(vec![]).draw(text, style, &Limits::default()).unwrap()
    }

    fn opaque(frame: &Frame) -> usize {
        frame.pixels().chunks_exact(4).filter(|pixel| pixel[3] > 127).count()
    }

    #[test]
    fn a_greeting_has_the_size_that_clients_expect() {
        let size = draw("hello world", &Style::default()).size();
        assert!((50..=70).contains(&size.width) && (5..=15).contains(&size.height), "{size}");
    }

    #[test]
    fn the_frame_is_cut_to_its_ink() {
        let frame = draw("Ág\nj", &Style { size_px: 40.0, ..Style::default() });
        let size = frame.size();
        let touched = |mut at: Box<dyn Iterator<Item = (u32, u32)>>| at.any(|(x, y)| frame.pixel(x, y)[3] > 0);
        assert!(touched(Box::new((0..size.width).map(|x| (x, 0)))));
        assert!(touched(Box::new((0..size.width).map(move |x| (x, size.height - 1)))));
        assert!(touched(Box::new((0..size.height).map(|y| (0, y)))));
        assert!(touched(Box::new((0..size.height).map(move |y| (size.width - 1, y)))));
    }

    #[test]
    fn styles_change_what_they_say() {
        let plain = Style { size_px: 40.0, ..Style::default() };
        let base = draw("Tinplate", &plain);
        let bold = draw("Tinplate", &Style { weight: 700, ..plain.clone() });
        assert!(opaque(&bold) > opaque(&base) * 5 / 4);
        assert_ne!(draw("Tinplate", &Style { italic: true, ..plain.clone() }), base);
        let spaced = draw("Tinplate", &Style { letter_spacing_px: 5.0, ..plain.clone() });
        assert_eq!(spaced.size().width, base.size().width + 35);
        let lined = draw("Tin\nplate", &Style { line_spacing_px: 10.0, ..plain.clone() });
        assert_eq!(lined.size().height, draw("Tin\nplate", &plain).size().height + 10);
        let on_white = draw("Tin", &Style { background: Color::WHITE, ..plain.clone() });
        assert!(!on_white.has_alpha() && on_white.pixel(0, on_white.size().height - 1)[3] == 255);
        let sharp = draw("Tin", &Style { antialias: false, ..plain.clone() });
        assert!(sharp.pixels().chunks_exact(4).all(|pixel| pixel[3] == 0 || pixel[3] == 255));
        let under = draw("ace", &Style { underline: true, ..plain.clone() });
        assert!(under.size().height > draw("ace", &plain).size().height);
        let wrapped = draw("one two three four", &Style { max_width_px: Some(120), ..plain });
        assert!(wrapped.size().width <= 120 && wrapped.size().height > 60, "{}", wrapped.size());
    }

    #[test]
    fn lines_lie_where_they_are_aligned() {
        let style = |align| Style { size_px: 40.0, align, ..Style::default() };
        let left_of_second = |frame: &Frame| {
            let y = frame.size().height - 5;
            (0..frame.size().width).find(|x| frame.pixel(*x, y)[3] > 127).unwrap()
        };
        let at = |align| left_of_second(&draw("MMMM\nH", &style(align)));
        let (left, center, right) = (at(Align::Left), at(Align::Center), at(Align::Right));
        assert!(left < 5 && center > 40 && right > center + 40, "{left} {center} {right}");
        assert_eq!((at(Align::Start), at(Align::End)), (left, right));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let fonts = Fonts::new(vec![b"no font".to_vec()]);
        let limits = Limits::default();
        let refused = |text: &str, style: &Style| fonts.draw(text, style, &limits).unwrap_err().to_string();
        let style = Style::default();
        let unknown = refused("a", &Style { family: "Nonesuch".into(), ..style.clone() });
        assert_eq!(unknown, "Unknown font family Nonesuch. Available are: Arimo");
        assert!(refused("  \n ", &style).contains("nothing to draw"));
        assert!(refused(&"x".repeat(MAX_CHARS + 1), &style).contains("too long"));
        for size_px in [0.0, -1.0, f32::NAN, 1e9] {
            assert!(refused("a", &Style { size_px, ..style.clone() }).contains("Font size"));
        }
        let large = Style { size_px: 1000.0, ..style.clone() };
        assert!(matches!(fonts.draw(&"M".repeat(200), &large, &limits), Err(Error::Limit(_))));
        assert_eq!(fonts.family("ARIAL").unwrap(), "Arimo");
        assert!(fonts.draw("a\u{0}\u{202e}b\u{fffd}\u{10ffff}", &style, &limits).is_ok());
    }
}
