//! Transformations as Cloudinary's Admin API spells them, back into the text of an address.

use serde_json::{Map, Value};
use tintype_render::language::params::PARAMS;

/// The text of a chain of objects with long names, as `GET /transformations` and presets have them; a text stays itself.
/// The error names what has no spelling.
pub(super) fn chain(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(components) => {
            let components: Result<Vec<String>, String> = components.iter().map(chain).collect();
            Ok(components?.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("/"))
        }
        Value::Object(names) => component(names),
        other => Err(format!("{other} is no transformation")),
    }
}

fn component(names: &Map<String, Value>) -> Result<String, String> {
    let mut parts = Vec::new();
    let (mut raw, mut extension) = (None, None);
    for (name, value) in names {
        match name.as_str() {
            "raw_transformation" => raw = Some(text(name, value)?),
            "extension" => extension = Some(text(name, value)?),
            "transformation" => {
                let named = match value {
                    Value::Array(names) => names.iter().map(|one| text(name, one)).collect::<Result<Vec<_>, _>>()?,
                    one => vec![text(name, one)?],
                };
                parts.extend(named.into_iter().map(|name| format!("t_{name}")));
            }
            "border" if value.is_object() => {
                let color = text("border", &value["color"])?.replace('#', "rgb:");
                parts.push(format!("bo_{}px_solid_{color}", text("border", &value["width"])?));
            }
            "offset" => {
                let (start, end) = match value {
                    Value::Array(ends) if ends.len() == 2 => (text(name, &ends[0])?, text(name, &ends[1])?),
                    _ => return Err(format!("{name} {value} has no spelling here")),
                };
                parts.push(format!("so_{start},eo_{end}"));
            }
            _ if name.starts_with('$') => parts.push(format!("{name}_{}", text(name, value)?)),
            _ => {
                let row = PARAMS.iter().find(|row| row.long_name == name || row.key == name);
                let key = row.map(|row| row.key).ok_or_else(|| format!("{name} has no spelling here"))?;
                let value = match value {
                    Value::Array(entries) => {
                        let joined = entries.iter().map(|entry| text(name, entry)).collect::<Result<Vec<_>, _>>()?;
                        joined.join(if name == "flags" { "." } else { ":" })
                    }
                    one => text(name, one)?,
                };
                parts.push(format!("{key}_{}", color_text(key, value)));
            }
        }
    }
    // An order that does not depend on the source's.
    parts.sort_unstable();
    parts.extend(raw);
    let text = parts.join(",");
    Ok(match extension.as_deref() {
        None => text,
        Some("none") => format!("{text}/"),
        Some(extension) => format!("{text}/{extension}"),
    })
}

/// `#rrggbb` is `rgb:rrggbb` in an address.
fn color_text(key: &str, value: String) -> String {
    match value.strip_prefix('#') {
        Some(rest) if matches!(key, "b" | "co" | "bo") => format!("rgb:{rest}"),
        _ => value,
    }
}

fn text(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(format!("{name} {other} has no spelling here")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::service::library::components;
    use serde_json::json;

    #[test]
    fn long_names_are_spelled_out() {
        let given = json!([
            { "width": 400, "height": 350, "gravity": "face", "crop": "crop" },
            { "radius": 20, "border": "5px_solid_black", "background": "#ff0000" },
            { "overlay": "logo", "opacity": 50, "width": 0.25, "flags": ["relative", "no_overflow"] },
            { "quality": "auto", "fetch_format": "auto" },
        ]);
        let text = "c_crop,g_face,h_350,w_400/b_rgb:ff0000,bo_5px_solid_black,r_20/\
                    fl_relative.no_overflow,l_logo,o_50,w_0.25/f_auto,q_auto";
        assert_eq!(chain(&given).unwrap(), text);
        assert_eq!(chain(&json!("c_fill,w_1")).unwrap(), "c_fill,w_1");
        assert_eq!(
            chain(&json!([{ "border": { "width": 2, "color": "#123456" } }])).unwrap(),
            "bo_2px_solid_rgb:123456"
        );
        assert_eq!(chain(&json!({ "transformation": ["a", "b"], "width": 3 })).unwrap(), "t_a,t_b,w_3");
        assert_eq!(chain(&json!({ "raw_transformation": "e_sepia", "width": 3 })).unwrap(), "w_3,e_sepia");
    }

    #[test]
    fn what_our_own_api_tells_is_read_back() {
        for text in ["c_scale,l_text:arial_20:x,w_100", "c_scale,w_0.5/e_sepia/", "w_20/png", "$size_5/a_007,t_x"] {
            assert_eq!(chain(&json!(components(text))).unwrap(), text);
        }
    }

    #[test]
    fn what_has_no_spelling_is_named() {
        for (given, name) in [(json!({ "novelty": 1 }), "novelty"), (json!({ "width": { "a": 1 } }), "width")] {
            assert!(chain(&given).unwrap_err().starts_with(name));
        }
    }
}
