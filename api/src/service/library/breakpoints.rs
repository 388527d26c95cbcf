//! `responsive_breakpoints` (api.md 3.5): the widths at which a picture's files differ by about equal numbers of bytes,
//! measured on the real encoder with a bounded number of renderings.

use super::LibraryService;
use super::archive_stream::from_delivery_error;
use crate::domain::Asset;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::params::{EagerEntry, EagerExtension};
use crate::service::pictures::EagerPicture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tintype_render::language::Format;

/// Most requests of one call.
const MAX_REQUESTS: usize = 10;
/// Most widths of one request; the default of the real service, and the most that it takes is 200.
const MAX_IMAGES: u32 = 20;
const DEFAULT_MIN_WIDTH: u32 = 50;
const DEFAULT_MAX_WIDTH: u32 = 1000;
const DEFAULT_STEP: u64 = 20_000;

/// One entry of `responsive_breakpoints`.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakpointRequest {
    /// Applied before the picture is scaled.
    transformation: String,
    extension: EagerExtension,
    create_derived: bool,
    min_width: u32,
    max_width: u32,
    bytes_step: u64,
    max_images: u32,
}

/// Reads the parameter: one object or a list of them.
pub fn read_breakpoints(params: &Params) -> Result<Vec<BreakpointRequest>, ApiError> {
    const NAME: &str = "responsive_breakpoints";
    let entries = params.json_list(NAME)?;
    if entries.len() > MAX_REQUESTS {
        return Err(ApiError::BadRequest(format!("Too many {NAME}. Maximum is {MAX_REQUESTS}.")));
    }
    let read = |entry: &Value| {
        let invalid = || ApiError::invalid(NAME, &entry.to_string());
        let number = |name: &str, default: u64| match &entry[name] {
            Value::Null => Ok(default),
            Value::String(text) => text.parse().map_err(|_| invalid()),
            value => value.as_u64().ok_or_else(invalid),
        };
        let narrow = |value: u64| u32::try_from(value).ok().filter(|value| *value > 0).ok_or_else(invalid);
        if !entry.is_object() {
            return Err(invalid());
        }
        let extension = match entry["format"].as_str() {
            None => EagerExtension::Original,
            Some(format) => EagerExtension::Named(Format::from_extension(format).ok_or_else(|| {
                ApiError::BadRequest(format!("Writing {format} is not supported by this server yet"))
            })?),
        };
        let (min, max) =
            (number("min_width", DEFAULT_MIN_WIDTH.into())?, number("max_width", DEFAULT_MAX_WIDTH.into())?);
        let create_derived = match &entry["create_derived"] {
            Value::Null => true,
            Value::Bool(flag) => *flag,
            value => value.as_str().is_some_and(|text| text == "true" || text == "1") || value.as_u64() == Some(1),
        };
        Ok(BreakpointRequest {
            transformation: entry["transformation"].as_str().unwrap_or_default().to_owned(),
            extension,
            create_derived,
            min_width: narrow(min.min(max))?,
            max_width: narrow(max)?,
            bytes_step: number("bytes_step", DEFAULT_STEP)?.max(1),
            max_images: narrow(number("max_images", MAX_IMAGES.into())?)?.min(MAX_IMAGES),
        })
    };
    entries.iter().map(read).collect()
}

impl BreakpointRequest {
    fn at(&self, width: u32) -> String {
        match self.transformation.as_str() {
            "" => format!("c_scale,w_{width}"),
            text => format!("{text}/c_scale,w_{width}"),
        }
    }
}

/// How many widths there are to be between files of these sizes.
fn n_images(least: u64, most: u64, step: u64, max: u32) -> u32 {
    let steps = most.saturating_sub(least) / step.max(1);
    u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1).clamp(2, max.max(2))
}

/// The width at which a file of so many bytes is expected, between two that were measured.
fn between(low: (u32, u64), high: (u32, u64), bytes: u64) -> u32 {
    let span = high.1.saturating_sub(low.1).max(1) as f64;
    let share = (bytes.saturating_sub(low.1) as f64 / span).clamp(0.0, 1.0);
    low.0 + (share * f64::from(high.0.saturating_sub(low.0))).round() as u32
}

impl LibraryService {
    /// The value of `responsive_breakpoints` in an answer: no list of breakpoints in it is empty.
    pub(super) async fn breakpoints(
        &self,
        caller: &Caller,
        asset: &Asset,
        requests: &[BreakpointRequest],
    ) -> Result<Value, ApiError> {
        let view = self.view(caller).await?;
        let mut answers = Vec::new();
        for request in requests {
            let pictures = match self.search_widths(caller, asset, request).await {
                Ok(pictures) => pictures,
                // As with `eager`: one that cannot be made says why, and the others are there.
                Err(ApiError::BadRequest(reason)) => {
                    answers.push(json!({
                        "transformation": request.transformation, "status": "failed", "reason": reason,
                    }));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let extension = match request.extension {
                EagerExtension::Named(format) => format.extension(),
                _ => asset.format.as_str(),
            };
            let points: Vec<Value> = pictures
                .iter()
                .rev()
                .map(|(width, picture)| {
                    let url = view.url(asset, &request.at(*width), Some(extension));
                    json!({
                        "width": picture.width, "height": picture.height, "bytes": picture.bytes,
                        "url": url, "secure_url": url,
                    })
                })
                .collect();
            let mut answer = json!({ "breakpoints": points });
            if !request.transformation.is_empty() {
                answer["transformation"] = json!(request.transformation);
            }
            answers.push(answer);
        }
        Ok(answers.into())
    }

    /// Widths in ascending order: the least and the largest, and between them those whose files are nearest to equal steps.
    async fn search_widths(
        &self,
        caller: &Caller,
        asset: &Asset,
        request: &BreakpointRequest,
    ) -> Result<BTreeMap<u32, EagerPicture>, ApiError> {
        let expanded = self.expand(&caller.cloud.id, &request.transformation).await?;
        let measure = async |text: String, keep: bool| {
            let entry = EagerEntry {
                given: text.clone(),
                transformation: text.clone(),
                expanded: text,
                extension: request.extension,
            };
            self.parts.eager.check(&entry).map_err(|error| ApiError::BadRequest(error.to_string()))?;
            let made = match keep {
                true => self.parts.eager.render(&caller.cloud, asset, &[entry]).await.pop(),
                false => Some(self.parts.eager.measure(asset, &entry).await),
            };
            let made = made.ok_or_else(|| ApiError::Internal("a width got no answer".to_owned()))?;
            made.map_err(from_delivery_error)
        };
        let scaled = |width: u32| BreakpointRequest { transformation: expanded.clone(), ..request.clone() }.at(width);
        // Nothing is enlarged: the transformation alone tells how wide the picture is at most.
        let full = measure(expanded.clone(), false).await?.width;
        let largest = request.max_width.min(full).max(1);
        let least = request.min_width.min(largest);
        let mut known: BTreeMap<u32, EagerPicture> = BTreeMap::new();
        for width in [least, largest] {
            known.insert(width, measure(scaled(width), false).await?);
        }
        let mut chosen = vec![least, largest];
        let (low, high) = (known[&least].bytes, known[&largest].bytes);
        let count = n_images(low, high, request.bytes_step, request.max_images);
        for number in 1..count - 1 {
            let goal = low.saturating_add(high.saturating_sub(low) / u64::from(count - 1) * u64::from(number));
            // One guess between the nearest known widths, and one more between those that it leaves.
            for _ in 0..2 {
                let pair = |below: bool| {
                    let fits = |picture: &EagerPicture| (picture.bytes <= goal) == below;
                    let mut found = known.iter().filter(|(_, picture)| fits(picture)).map(|(w, p)| (*w, p.bytes));
                    if below { found.next_back() } else { found.next() }
                };
                let (Some(below), Some(above)) = (pair(true), pair(false)) else { break };
                let guess = between(below, above, goal);
                if guess <= least || guess >= largest || known.contains_key(&guess) {
                    break;
                }
                known.insert(guess, measure(scaled(guess), false).await?);
            }
            let nearest = known.iter().min_by_key(|(_, picture)| picture.bytes.abs_diff(goal)).map(|(width, _)| *width);
            chosen.extend(nearest);
        }
        known.retain(|width, _| chosen.contains(width));
        if request.create_derived {
            for (width, picture) in &mut known {
                *picture = measure(scaled(*width), true).await?;
            }
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<Vec<BreakpointRequest>, ApiError> {
        read_breakpoints(&vec![("responsive_breakpoints".to_owned(), text.to_owned())].into())
    }

    #[test]
    fn requests_have_defaults_and_bounds() {
        let one = read(r#"{"create_derived":false,"transformation":"a_90","max_width":"300"}"#).unwrap();
        assert_eq!((one[0].max_width, one[0].min_width, one[0].create_derived), (300, 50, false));
        assert_eq!(one[0].at(7), "a_90/c_scale,w_7");
        assert_eq!(read("[{},{}]").unwrap().len(), 2);
        for text in
            ["[1]", r#"{"max_width":0}"#, r#"{"max_width":"x"}"#, r#"{"format":"heic"}"#, "{", r#"{"bytes_step":-1}"#]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn steps_decide_how_many_there_are() {
        assert_eq!(n_images(1_000, 3_000, 20_000, 20), 2);
        assert_eq!(n_images(0, 100_000, 20_000, 20), 6);
        assert_eq!(n_images(0, u64::MAX, 1, 20), 20);
        assert_eq!(n_images(5, 1, 1, 1), 2);
        assert_eq!(between((50, 1_000), (100, 3_000), 2_000), 75);
        assert_eq!(between((50, 1_000), (100, 1_000), 9_000), 100);
    }
}
