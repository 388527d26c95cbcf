//! One asset in full (api.md 4.3), and what a cloud uses and is (api.md 4.1).

use super::{AnalysisRequest, LibraryService, cursor, view};
use crate::catalog::library::DerivedOf;
use crate::domain::{Asset, Day, Region, Timestamp};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::quota;
use serde_json::{Value, json};
use time::macros::format_description;

impl LibraryService {
    /// The body of `GET /resources/…` for one asset.
    pub async fn details(&self, caller: &Caller, asset: &Asset, params: &Params) -> Result<Value, ApiError> {
        let library = &self.parts.library;
        let view = self.view(caller).await?;
        let mut body = view.details(asset);
        body.extend(self.analyze(caller, asset, &AnalysisRequest::read(params)?).await?);
        if params.is_set("coordinates")? {
            let mut coordinates = json!({});
            for (name, regions) in [("faces", faces(asset)), ("custom", &asset.custom_coordinates)] {
                if !regions.is_empty() {
                    coordinates[name] = view::regions(regions);
                }
            }
            body.insert("coordinates".to_owned(), coordinates);
        }
        if params.is_set("versions")? {
            let versions = library.versions(&asset.id).await?;
            body.insert("versions".to_owned(), versions.iter().map(view::version).collect::<Vec<_>>().into());
        }
        let limit = params.max_results(10)?;
        if params.is_set("related")? {
            let after = match params.text("related_next_cursor") {
                None => String::new(),
                Some(cursor) => cursor::read_text(&vec![("next_cursor".to_owned(), cursor.to_owned())].into())?,
            };
            let (related, more) = library.related(&caller.cloud.id, &asset.id, &after, limit).await?;
            if let Some(last) = related.last().filter(|_| more) {
                body.insert("related_next_cursor".to_owned(), json!(cursor::write_text(last.id.as_str())));
            }
            let related: Vec<Value> = related.iter().map(|asset| Value::Object(view.summary(asset))).collect();
            body.insert("related_assets".to_owned(), related.into());
        }
        let after = cursor::read_derived(params, "derived_next_cursor")?;
        let after = if after.is_some() { after } else { cursor::read_derived(params, "next_cursor")? };
        let page = library.derived_page(&caller.cloud.id, DerivedOf::Asset(asset.id.clone()), limit, after).await?;
        let derived: Vec<Value> =
            page.derived.iter().map(|(derived, asset)| Value::Object(view.derived(derived, asset))).collect();
        body.insert("derived".to_owned(), derived.into());
        if let Some(next) = &page.next {
            let next = cursor::write_derived(next);
            body.insert("derived_next_cursor".to_owned(), json!(next));
            body.insert("next_cursor".to_owned(), json!(next));
        }
        Ok(Value::Object(body))
    }

    /// `GET /config`
    pub async fn config(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let mut body = json!({
            "cloud_name": caller.cloud.name.as_str(),
            "created_at": view::iso_time(caller.cloud.created_at),
        });
        if params.is_set("settings")? {
            body["settings"] = json!({ "folder_mode": self.settings_of(&caller.cloud).await?.folder_mode.as_str() });
        }
        Ok(body)
    }

    /// `GET /usage`, over the last 30 days, or of one day (`YYYY-MM-DD` or `DD-MM-YYYY`).
    pub async fn usage(&self, caller: &Caller, date: Option<&str>) -> Result<Value, ApiError> {
        let dated = date.map(|text| parse_day(text).ok_or_else(|| ApiError::invalid("date", text))).transpose()?;
        let since = dated.unwrap_or(Day(Day::today().0.saturating_sub(29)));
        let used = self.parts.catalog.usage(&caller.cloud.id, since).await?;
        let now = Timestamp::now();
        let limits = self.parts.limits;
        let day = |day: Day| Timestamp::from_unix_seconds(i64::from(day.0) * 86_400);
        let mut body = json!({
            "plan": "Self-hosted",
            "last_updated": &view::iso_time(now)[..10],
            "date_requested": view::iso_time(dated.map_or(now, day)),
            "transformations": { "usage": used.transformations, "credits_usage": 0.0 },
            "objects": { "usage": used.objects + used.derived },
            "bandwidth": { "usage": used.bandwidth_bytes, "credits_usage": 0.0 },
            "storage": { "usage": used.storage_bytes, "credits_usage": 0.0 },
            "credits": { "usage": 0.0 },
            "impressions": { "usage": 0 },
            "seconds_delivered": { "usage": 0 },
            "requests": used.requests,
            "resources": used.objects,
            "derived_resources": used.derived,
            "media_limits": {
                "image_max_size_bytes": limits.max_upload_bytes,
                "video_max_size_bytes": limits.max_upload_bytes,
                "raw_max_size_bytes": limits.max_upload_bytes,
                "image_max_px": limits.max_pixels,
                "asset_max_total_px": limits.max_pixels,
            },
        });
        if dated.is_none() {
            for name in ["transformations", "objects", "bandwidth", "storage"] {
                body[name]["limit"] = json!(0);
                body[name]["used_percent"] = json!(0.0);
            }
            let settings = self.settings_of(&caller.cloud).await?;
            let quotas = [
                ("storage", settings.max_storage_bytes, used.storage_bytes),
                // Assets only: what is derived from them does not count.
                ("objects", settings.max_assets, used.objects),
            ];
            for (name, limit, used) in quotas {
                if let Some(limit) = limit {
                    body[name]["limit"] = json!(limit);
                    body[name]["used_percent"] = json!(quota::used_percent(used, limit));
                }
            }
        }
        Ok(body)
    }
}

/// The faces that are shown: those that were supplied, else those that were found.
pub fn faces(asset: &Asset) -> &[Region] {
    match asset.face_coordinates.is_empty() {
        false => &asset.face_coordinates,
        true => asset.faces.as_deref().unwrap_or_default(),
    }
}

fn parse_day(text: &str) -> Option<Day> {
    let forms: [&[_]; 2] = [format_description!("[year]-[month]-[day]"), format_description!("[day]-[month]-[year]")];
    let date = forms.iter().find_map(|form| time::Date::parse(text, form).ok())?;
    i32::try_from(date.midnight().assume_utc().unix_timestamp() / 86_400).ok().map(Day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_two_forms() {
        assert_eq!(parse_day("1970-01-03"), Some(Day(2)));
        assert_eq!(parse_day("03-01-1970"), Some(Day(2)));
        assert_eq!(parse_day("3.1.1970"), None);
    }
}
