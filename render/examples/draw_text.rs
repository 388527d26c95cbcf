//! Draws a sheet of texts as PNG files, to look at: `cargo run -p tintype-render --example draw_text -- FOLDER`.

use std::path::PathBuf;
use tintype_render::language::{Color, Format};
use tintype_render::plan::{Encoding, Quality};
use tintype_render::text::{Align, Fonts, Style};
use tintype_render::{Limits, codec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    std::fs::create_dir_all(&folder)?;
    let fonts = Fonts::new(vec![]);
    let plain = Style { background: Color::WHITE, ..Style::default() };
    let text = "AVATAR Wave To. Ünïcødé Ελλάδα Привет\nSecond, shorter line (fi ffi)\nשלום — third";
    for size in [12_u8, 24, 48] {
        for (name, align) in [("left", Align::Left), ("center", Align::Center), ("right", Align::Right)] {
            let style = Style { size_px: f32::from(size), align, ..plain.clone() };
            write(&fonts, &folder.join(format!("{name}-{size}.png")), text, &style)?;
        }
    }
    let styled = Style {
        size_px: 40.0,
        weight: 700,
        italic: true,
        underline: true,
        color: Color::parse("rgb:c02080").unwrap_or(Color::BLACK),
        ..plain
    };
    write(&fonts, &folder.join("styled.png"), "Bold, italic, underlined", &styled)
}

fn write(fonts: &Fonts, path: &std::path::Path, text: &str, style: &Style) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::default();
    let frame = fonts.draw(text, style, &limits)?;
    let encoding = Encoding { format: Format::Png, quality: Quality::Fixed(100), chroma: None, progressive: false };
    Ok(std::fs::write(path, codec::encode(&frame, &encoding, &limits)?.bytes)?)
}
