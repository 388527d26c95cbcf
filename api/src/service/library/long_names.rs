//! Transformations as SDKs spell them: objects with long names (api.md 4.7).

use serde_json::{Map, Value, json};
use tintype_render::language::params::split_part;

/// One object for each component of a chain. A last component without `_` is the extension; a slash at the end means that
/// there is none.
pub fn components(text: &str) -> Vec<Value> {
    let mut components = Vec::new();
    let mut segments: Vec<&str> = text.split('/').collect();
    let extension = match segments.last() {
        Some(&"") if segments.len() > 1 => Some("none"),
        Some(last) if segments.len() > 1 && !last.contains('_') => Some(*last),
        _ => None,
    };
    if extension.is_some() {
        segments.pop();
    }
    for segment in segments.into_iter().filter(|segment| !segment.is_empty()) {
        components.push(component(segment));
    }
    if let Some(extension) = extension {
        match components.last_mut() {
            Some(Value::Object(last)) => {
                last.insert("extension".to_owned(), json!(extension));
            }
            _ => components.push(json!({ "extension": extension })),
        }
    }
    components
}

fn component(segment: &str) -> Value {
    let mut names = Map::new();
    for part in segment.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = match split_part(part) {
            Some((row, value)) if row.key == "$" => {
                let name = part.split_once('_').map_or(part, |(name, _)| name);
                (name.to_owned(), value)
            }
            Some((row, value)) if row.key == "if" => ("if".to_owned(), value),
            Some((row, value)) if row.key == "t" => ("transformation".to_owned(), value),
            Some((row, value)) => (row.long_name.to_owned(), value),
            None => ("raw_transformation".to_owned(), part),
        };
        names.insert(name, number_or_text(value));
    }
    Value::Object(names)
}

/// Numbers as numbers, when they print as they were written.
fn number_or_text(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return json!(number);
    }
    match text.parse::<f64>() {
        Ok(number) if text.contains('.') && number.is_finite() && number.to_string() == text => json!(number),
        _ => json!(text),
    }
}

/// The chain whose parts are in an order that does not depend on how they were written.
pub fn normalized(text: &str) -> String {
    let text = text.trim_matches('/');
    let component = |segment: &str| {
        let mut parts: Vec<&str> = segment.split(',').filter(|part| !part.is_empty()).collect();
        parts.sort_unstable();
        parts.join(",")
    };
    text.split('/').map(component).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_get_long_names() {
        assert_eq!(
            components("c_scale,l_text:arial_20:x,w_100"),
            [json!({ "crop": "scale", "overlay": "text:arial_20:x", "width": 100 })]
        );
        assert_eq!(
            components("w_0.5,c_scale/e_sepia/"),
            [json!({ "width": 0.5, "crop": "scale" }), json!({ "effect": "sepia", "extension": "none" })]
        );
        assert_eq!(components("w_20/png"), [json!({ "width": 20, "extension": "png" })]);
        assert_eq!(
            components("$size_5/t_x,a_007"),
            [json!({ "$size": 5 }), json!({ "transformation": "x", "angle": "007" })]
        );
    }

    #[test]
    fn order_does_not_matter() {
        assert_eq!(normalized("w_100,c_scale"), normalized("c_scale,w_100"));
        assert_ne!(normalized("w_1/c_scale"), normalized("c_scale/w_1"));
    }
}
