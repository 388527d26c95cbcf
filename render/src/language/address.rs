//! The address of a delivered picture: from a raw path to what it names, and back.

use super::formats::split_known_extension;
use super::parse::{is_broken_component, is_component};
use super::percent;
use super::public_id::{PublicIdError, excerpt, validate_public_id};
use std::fmt;

/// Longest path that is read.
const MAX_PATH_BYTES: usize = 8 * 1024;

/// What kind of asset an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceType {
    Image,
    Video,
    Raw,
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResourceType::Image => "image",
            ResourceType::Video => "video",
            ResourceType::Raw => "raw",
        })
    }
}

/// How an asset may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryType {
    Upload,
    Private,
    Authenticated,
    Text,
    Sprite,
    Multi,
}

impl fmt::Display for DeliveryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeliveryType::Upload => "upload",
            DeliveryType::Private => "private",
            DeliveryType::Authenticated => "authenticated",
            DeliveryType::Text => "text",
            DeliveryType::Sprite => "sprite",
            DeliveryType::Multi => "multi",
        })
    }
}

/// Delivery types of the language that are not built.
const OTHER_TYPES: &[&str] =
    &["fetch", "list", "asset", "facebook", "twitter", "twitter_name", "gravatar", "youtube", "vimeo", "dailymotion"];

/// The characters between `s--` and `--`: 8 or 32 of the URL-safe base64 alphabet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlSignature(String);

impl UrlSignature {
    /// Reads a path segment. A signature may itself begin or end with `-`.
    pub fn from_segment(segment: &str) -> Option<Self> {
        let inner = segment.strip_prefix("s--")?.strip_suffix("--")?;
        let legal = inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (legal && matches!(inner.len(), 8 | 32)).then(|| UrlSignature(inner.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a delivery path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `None` when the path names no cloud.
    pub cloud: Option<String>,
    pub resource_type: ResourceType,
    pub delivery_type: DeliveryType,
    pub signature: Option<UrlSignature>,
    /// Components with `/` between them, percent-decoded once; may be empty.
    pub transformation: String,
    /// The number of `v<number>`.
    pub version: Option<u64>,
    /// Decoded; without its extension, except for raw assets.
    pub public_id: String,
    /// What follows the last dot of the last segment of an image or video, known or not, as written.
    pub extension: Option<String>,
    /// The id together with that extension: an asset may be called so.
    pub literal_id: Option<String>,
    /// The cosmetic end of addresses such as `/images/<id>/<suffix>.jpg`.
    pub seo_suffix: Option<String>,
    /// Texts that may have been signed, likeliest first.
    pub to_sign: Vec<String>,
}

/// Why a path is no address. The texts may be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("The path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    #[error("The path is not valid percent-encoded UTF-8")]
    Encoding,
    #[error("The path names no asset")]
    NoSource,
    #[error("Invalid transformation component - {0}")]
    Component(String),
    #[error("Invalid version in transformation: {0}")]
    Version(String),
    #[error("delivery type {0} is not supported by this server yet")]
    Type(String),
    #[error(transparent)]
    PublicId(#[from] PublicIdError),
}

/// Reads a raw path (percent-encoded, beginning with `/`, without the query). With `cloud_in_path` its first segment is
/// the cloud's name.
///
/// Source: transformations specification, 1.1 to 1.7. A segment that is no component starts the public id, so that
/// folders need no version in front of them.
pub fn parse_address(raw_path: &str, cloud_in_path: bool) -> Result<Address, AddressError> {
    if raw_path.len() > MAX_PATH_BYTES {
        return Err(AddressError::TooLong);
    }
    let raw = collapse(raw_path);
    let decoded = percent::decode_strict(&raw).ok_or(AddressError::Encoding)?;
    if decoded.contains('\0') {
        return Err(AddressError::Encoding);
    }
    let decoded = collapse(&decoded);
    let segments: Vec<&str> = decoded.trim_start_matches('/').split('/').collect();
    let mut rest = segments.as_slice();
    let cloud = if cloud_in_path {
        let (first, tail) = rest.split_first().ok_or(AddressError::NoSource)?;
        rest = tail;
        Some((*first).to_owned())
    } else {
        None
    };
    let (resource_type, delivery_type, seo, used) = kind(rest)?;
    rest = &rest[used..];
    let signature = rest.first().and_then(|segment| UrlSignature::from_segment(segment));
    if signature.is_some() {
        rest = &rest[1..];
    }

    let mut components = 0;
    let mut version = None;
    let mut source_at = 0;
    while source_at + 1 < rest.len() {
        let segment = rest[source_at];
        if let Some(digits) = version_digits(segment) {
            version = Some(digits.parse().map_err(|_| AddressError::Version(excerpt(digits)))?);
            source_at += 1;
            break;
        }
        if UrlSignature::from_segment(segment).is_some() || is_broken_component(segment) {
            return Err(AddressError::Component(excerpt(segment)));
        }
        if !segment.is_empty() && !is_component(segment) {
            break;
        }
        source_at += 1;
        components = source_at;
    }
    let transformation = rest[..components].join("/");
    let source = &rest[source_at..];
    let name = Source::read(source, resource_type, seo)?;
    validate_public_id(&name.public_id)?;
    if let Some(literal) = &name.literal_id {
        validate_public_id(literal)?;
    }

    let raw_texts = raw_texts(&raw, &segments, rest.len(), components, source_at);
    let to_sign = candidates(&transformation, &name.signed, raw_texts, seo);
    Ok(Address {
        cloud,
        resource_type,
        delivery_type,
        signature,
        transformation,
        version,
        public_id: name.public_id,
        extension: name.extension,
        literal_id: name.literal_id,
        seo_suffix: name.seo_suffix,
        to_sign,
    })
}

/// The path of an asset as SDKs build it; `transformation` is put as it is, the id is escaped.
pub fn build_path(
    cloud: &str,
    resource_type: &str,
    delivery_type: &str,
    transformation: &str,
    version: u64,
    public_id: &str,
    extension: Option<&str>,
) -> String {
    let mut path = format!("/{cloud}/{resource_type}/{delivery_type}/");
    if !transformation.is_empty() {
        path += &percent::encode_illegal(transformation);
        path.push('/');
    }
    path += &format!("v{version}/{}", percent::encode(public_id));
    if let Some(extension) = extension {
        path.push('.');
        path += extension;
    }
    path
}

/// Makes repeated slashes one, except after a colon, where they belong to a scheme.
fn collapse(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        let repeated = character == '/' && out.ends_with('/') && !out.ends_with(":/");
        if !repeated {
            out.push(character);
        }
    }
    out
}

/// Asset kind, delivery type, whether a cosmetic suffix follows the id, and the number of segments that said so.
fn kind(rest: &[&str]) -> Result<(ResourceType, DeliveryType, bool, usize), AddressError> {
    let (first, second) = (rest.first().copied().unwrap_or_default(), rest.get(1).copied());
    let short = |resource_type, delivery_type, seo| Ok((resource_type, delivery_type, seo, 1));
    let resource_type = match first {
        "image" => ResourceType::Image,
        "video" => ResourceType::Video,
        "raw" => ResourceType::Raw,
        "iu" => return short(ResourceType::Image, DeliveryType::Upload, false),
        "images" => return short(ResourceType::Image, DeliveryType::Upload, true),
        "private_images" => return short(ResourceType::Image, DeliveryType::Private, true),
        "authenticated_images" => return short(ResourceType::Image, DeliveryType::Authenticated, true),
        "videos" => return short(ResourceType::Video, DeliveryType::Upload, true),
        "files" => return short(ResourceType::Raw, DeliveryType::Upload, true),
        _ => return Ok((ResourceType::Image, DeliveryType::Upload, false, 0)),
    };
    let delivery_type = match second {
        Some("upload") => DeliveryType::Upload,
        Some("private") => DeliveryType::Private,
        Some("authenticated") => DeliveryType::Authenticated,
        Some("text") => DeliveryType::Text,
        Some("sprite") => DeliveryType::Sprite,
        Some("multi") => DeliveryType::Multi,
        Some(other) if OTHER_TYPES.contains(&other) => return Err(AddressError::Type(other.to_owned())),
        // A folder that happens to be called like a kind of asset, under the root path.
        _ => return Ok((ResourceType::Image, DeliveryType::Upload, false, 0)),
    };
    Ok((resource_type, delivery_type, false, 2))
}

fn version_digits(segment: &str) -> Option<&str> {
    let digits = segment.strip_prefix('v')?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// The end of an address, taken apart.
struct Source {
    public_id: String,
    extension: Option<String>,
    literal_id: Option<String>,
    seo_suffix: Option<String>,
    /// What of it is signed: the id with its extension, without the suffix.
    signed: String,
}

impl Source {
    fn read(segments: &[&str], resource_type: ResourceType, seo: bool) -> Result<Self, AddressError> {
        let whole = segments.join("/");
        if whole.is_empty() {
            return Err(AddressError::NoSource);
        }
        if seo {
            let (id, last) = whole.rsplit_once('/').ok_or(AddressError::NoSource)?;
            let (suffix, extension) = match last.rsplit_once('.') {
                Some((suffix, extension)) => (suffix, Some(extension)),
                None => (last, None),
            };
            let signed = extension.map_or(id.to_owned(), |extension| format!("{id}.{extension}"));
            let raw = resource_type == ResourceType::Raw;
            return Ok(Source {
                public_id: if raw { signed.clone() } else { id.to_owned() },
                extension: extension.filter(|_| !raw).map(str::to_owned),
                literal_id: None,
                seo_suffix: Some(suffix.to_owned()),
                signed,
            });
        }
        let unsplit = |whole: String| Source {
            public_id: whole.clone(),
            extension: None,
            literal_id: None,
            seo_suffix: None,
            signed: whole,
        };
        if resource_type == ResourceType::Raw {
            return Ok(unsplit(whole));
        }
        let split = split_known_extension(&whole).map(|(stem, _)| stem.len()).or_else(|| {
            // Something short behind a dot is meant as an extension even if nobody knows it.
            let (stem, end) = whole.rsplit_once('.')?;
            let like_one = (1..=12).contains(&end.len()) && end.bytes().all(|byte| byte.is_ascii_alphanumeric());
            (like_one && !stem.is_empty() && !stem.ends_with('/')).then_some(stem.len())
        });
        Ok(match split {
            None => unsplit(whole),
            Some(at) => Source {
                public_id: whole[..at].to_owned(),
                extension: Some(whole[at + 1..].to_owned()),
                literal_id: Some(whole.clone()),
                seo_suffix: None,
                signed: whole,
            },
        })
    }
}

/// Transformation and source as they stand in the raw path; none when an encoded slash makes the parts uncountable.
fn raw_texts(
    raw: &str,
    segments: &[&str],
    left: usize,
    components: usize,
    source_at: usize,
) -> Option<(String, String)> {
    let raw_segments: Vec<&str> = raw.trim_start_matches('/').split('/').collect();
    let consumed = segments.len() - left;
    let rest = raw_segments.get(consumed..)?;
    // Only the source may hold encoded slashes; in front of it both paths must have the same parts.
    let source = rest.get(source_at..).filter(|source| !source.is_empty())?;
    Some((rest.get(..components)?.join("/"), source.join("/")))
}

/// Every text that clients are known to sign for the same address.
fn candidates(transformation: &str, signed_source: &str, raw: Option<(String, String)>, seo: bool) -> Vec<String> {
    let mut transformations = Vec::new();
    let mut sources = Vec::new();
    if let Some((raw_transformation, raw_source)) = raw {
        transformations.push(raw_transformation);
        if !seo {
            sources.push(raw_source);
        }
    }
    transformations.push(transformation.to_owned());
    transformations.push(percent::encode_illegal(transformation));
    sources.push(percent::encode(signed_source));
    sources.push(signed_source.to_owned());
    let mut texts: Vec<String> = Vec::new();
    for source in &sources {
        for transformation in &transformations {
            let text = if transformation.is_empty() { source.clone() } else { format!("{transformation}/{source}") };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// Path; then resource type, delivery type, transformation, version, id and extension.
    type Row = (&'static str, &'static str, &'static str, Option<u64>, &'static str, Option<&'static str>);

    #[test]
    fn addresses_name_what_the_table_says() {
        let rows: &[Row] = &[
            ("/demo/image/upload/v1234/folder/test.jpg", "image/upload", "", Some(1234), "folder/test", Some("jpg")),
            ("/demo/iu/c_scale,w_10/test", "image/upload", "c_scale,w_10", None, "test", None),
            ("/demo/a_0/test", "image/upload", "a_0", None, "test", None),
            ("/demo/images/s--abcdefgh--/a_0/test/hello.jpg", "image/upload", "a_0", None, "test", Some("jpg")),
            ("/demo/private_images/test/hello", "image/private", "", None, "test", None),
            ("/demo/image/upload/docs/camera.jpg", "image/upload", "", None, "docs/camera", Some("jpg")),
            ("/demo/image/upload/w_abc/sample.jpg", "image/upload", "w_abc", None, "sample", Some("jpg")),
            (
                "/demo/raw/upload/fl_attachment:x/data/file.csv",
                "raw/upload",
                "fl_attachment:x",
                None,
                "data/file.csv",
                None,
            ),
            ("/demo/image/upload/sam%2Cple", "image/upload", "", None, "sam,ple", None),
            (
                "/demo/image/upload//c_fill,w_1//r_2/v1/a//b.png",
                "image/upload",
                "c_fill,w_1/r_2",
                Some(1),
                "a/b",
                Some("png"),
            ),
            ("/demo/image/upload/W_100/x.jpg", "image/upload", "", None, "W_100/x", Some("jpg")),
            ("/demo/image/upload/foo_1/x.jpg", "image/upload", "", None, "foo_1/x", Some("jpg")),
            ("/demo/image/upload/v5/w_1/x.jpg", "image/upload", "", Some(5), "w_1/x", Some("jpg")),
            ("/demo/image/upload/x.jpgsz280", "image/upload", "", None, "x", Some("jpgsz280")),
            ("/demo/image/upload/f%2Fg.jpg", "image/upload", "", None, "f/g", Some("jpg")),
            ("/demo/image/upload/%C3%BC%20b.webp", "image/upload", "", None, "ü b", Some("webp")),
            ("/demo/video/upload/clip.mp4", "video/upload", "", None, "clip", Some("mp4")),
        ];
        for (path, kind, transformation, version, id, extension) in rows {
            let address = parse_address(path, true).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(address.cloud.as_deref(), Some("demo"), "{path}");
            assert_eq!(format!("{}/{}", address.resource_type, address.delivery_type), *kind, "{path}");
            assert_eq!(address.transformation, *transformation, "{path}");
            assert_eq!(address.version, *version, "{path}");
            assert_eq!(address.public_id, *id, "{path}");
            assert_eq!(address.extension.as_deref(), *extension, "{path}");
        }
    }

    #[test]
    fn broken_addresses_are_refused() {
        for (path, expected) in [
            (
                "/demo/image/upload/c_thumb,w_100/s--abcdefgh--/v1/x.jpg",
                "Invalid transformation component - s--abcdefgh--",
            ),
            ("/demo/image/upload/w_100,foo_1/x.jpg", "Invalid transformation component - w_100,foo_1"),
            ("/demo/image/upload/%ff.jpg", "The path is not valid percent-encoded UTF-8"),
            ("/demo/image/upload/a%2/x.jpg", "The path is not valid percent-encoded UTF-8"),
            ("/demo/image/upload/", "The path names no asset"),
            ("/demo/image/upload/../../etc/passwd.png", "public_id (../../etc/passwd) is invalid"),
            ("/demo/image/upload/%2e%2e%2fx.png", "public_id (../x) is invalid"),
            ("/demo/image/upload/a%5Cb", "public_id (a\\b) is invalid"),
            ("/demo/image/fetch/http://h/a.png", "delivery type fetch is not supported by this server yet"),
            ("/demo/image/upload/v99999999999999999999/x", "Invalid version in transformation: 99999999999999999999"),
        ] {
            match parse_address(path, true) {
                Err(error) => assert_eq!(error.to_string(), expected, "{path}"),
                Ok(address) => panic!("{path}: {address:?}"),
            }
        }
        assert_eq!(parse_address(&format!("/demo/{}", "a".repeat(9000)), true), Err(AddressError::TooLong));
    }

    #[test]
    fn what_was_signed_is_among_the_candidates() {
        for (path, signed) in [
            ("/d/image/upload/s--Ai4Znfl3--/c_crop,h_20,w_10/v1234/image.jpg", "c_crop,h_20,w_10/image.jpg"),
            ("/d/image/authenticated/s----SjmNDA--/v1/image.jpg", "image.jpg"),
            (
                "/d/image/upload/s--abcdefgh--/co_red,l_text:T_7:C%25F0%259F/image.jpg",
                "co_red,l_text:T_7:C%25F0%259F/image.jpg",
            ),
            ("/d/images/s--abcdefgh--/a_0/test/hello.jpg", "a_0/test.jpg"),
            ("/d/image/upload/s--abcdefgh--/f/a%20b.jpg", "f/a%20b.jpg"),
            ("/d/image/upload/s--abcdefgh--/f%2Fa%20b.jpg", "f/a%20b.jpg"),
        ] {
            let address = parse_address(path, true).unwrap();
            assert!(address.signature.is_some(), "{path}");
            assert!(address.to_sign.contains(&signed.to_owned()), "{path}: {:?}", address.to_sign);
        }
    }

    #[test]
    fn built_paths_are_read_back() {
        let path = build_path("demo", "image", "upload", "c_fill,w_100", 7, "dir/ü b,c", Some("jpg"));
        assert_eq!(path, "/demo/image/upload/c_fill,w_100/v7/dir/%C3%BC%20b%2Cc.jpg");
        let address = parse_address(&path, true).unwrap();
        assert_eq!((address.public_id.as_str(), address.version), ("dir/ü b,c", Some(7)));
    }
}
