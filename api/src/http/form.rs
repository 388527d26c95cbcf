//! The body of an API call: multipart, urlencoded or JSON, with the file streamed to where it will be kept.

use super::body::{BodyError, BodyLimits, PacedBody};
use super::data_uri::{DataUriDecoder, DataUriError};
use crate::domain::CloudId;
use crate::service::spool::Spool;
use crate::service::upload::{FileSource, UploadError, UploadService};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use multer::{Field, Multipart};
use percent_encoding::percent_decode;
use serde_json::Value;
use std::error::Error as StdError;
use std::time::Duration;

/// Most parts, pairs or entries of a call.
const MAX_PARAMS: usize = 1200;
/// Longest value of one parameter.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// Longest names and values together.
const MAX_TEXTS_BYTES: usize = 1 << 20;
/// Longest name of a parameter.
const MAX_NAME_BYTES: usize = 256;
/// Longest body that is no multipart: it is held in memory.
const MAX_BUFFERED_BYTES: u64 = 20 << 20;
/// What is read and thrown away after an error, and for how long, so that the client sees the answer.
const DRAIN_BYTES: u64 = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A call that was read to its end.
#[derive(Debug, Default)]
pub struct Form {
    /// All parameters but the file, in the order received.
    pub params: Vec<(String, String)>,
    pub file: Option<FileSource>,
    text_bytes: usize,
}

/// Why the body of a call cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    #[error("Malformed request body: {0}")]
    Malformed(String),
    #[error("Too many parameters. Maximum is {MAX_PARAMS}.")]
    TooManyParams,
    #[error("Parameter {name} is too long. Maximum is {max} bytes.")]
    TooLong { name: String, max: usize },
    #[error("Parameter file was given twice")]
    SecondFile,
    #[error("Parameter file is not taken by this call")]
    NoFileHere,
    #[error("Unsupported source URL: {0}")]
    UnsupportedSource(String),
    #[error("Unsupported Content-Type: {0}")]
    ContentType(String),
    #[error(transparent)]
    DataUri(#[from] DataUriError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// Where the file of a call is received.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    pub service: &'a UploadService,
    /// Cloud that it is for; `None` where the call takes no file.
    pub cloud: Option<&'a CloudId>,
}

impl Files<'_> {
    async fn spool(&self) -> Result<Spool, FormError> {
        let cloud = self.cloud.ok_or(FormError::NoFileHere)?;
        Ok(self.service.spool(cloud).await?)
    }
}

/// Reads a call. `query` comes first among the parameters.
pub async fn read_form(
    files: &Files<'_>,
    query: Option<&str>,
    content_type: Option<&str>,
    body: Body,
) -> Result<Form, FormError> {
    // Room for a file that is too large, so that its length can be told, and for base64.
    let limits = BodyLimits {
        idle: Duration::from_secs(30),
        total: Duration::from_secs(900),
        bytes: files.service.max_upload_bytes().saturating_mul(2).saturating_add(64 << 20),
        unparsed_bytes: 256 << 10,
    };
    let body = PacedBody::new(body, limits);
    match read(files, query, content_type, &body).await {
        Ok(form) => Ok(form),
        Err(error) => {
            if !matches!(error, FormError::Body(BodyError::TooSlow | BodyError::Broken)) {
                body.drain(DRAIN_BYTES, DRAIN_TIME).await;
            }
            Err(error)
        }
    }
}

async fn read(
    files: &Files<'_>,
    query: Option<&str>,
    content_type: Option<&str>,
    body: &PacedBody,
) -> Result<Form, FormError> {
    let mut form = Form::default();
    if let Some(query) = query {
        read_urlencoded(&mut form, query.as_bytes(), files).await?;
    }
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => {
            let boundary = multer::parse_boundary(content_type).map_err(|error| malformed(&error))?;
            read_multipart(&mut form, boundary, files, body).await?;
        }
        "application/x-www-form-urlencoded" => {
            let text = buffered(body).await?;
            read_urlencoded(&mut form, &text, files).await?;
        }
        "application/json" => {
            let text = buffered(body).await?;
            read_json(&mut form, &text, files).await?;
        }
        // Some clients send a type without a body.
        other => {
            if !buffered(body).await?.is_empty() {
                return Err(FormError::ContentType(other.chars().take(100).collect()));
            }
        }
    }
    Ok(form)
}

impl Form {
    fn push(&mut self, name: String, value: String) -> Result<(), FormError> {
        if self.params.len() == MAX_PARAMS {
            return Err(FormError::TooManyParams);
        }
        if name.len() > MAX_NAME_BYTES {
            let name = name.chars().take(64).collect();
            return Err(FormError::TooLong { name, max: MAX_NAME_BYTES });
        }
        if value.len() > MAX_TEXT_BYTES {
            return Err(FormError::TooLong { name, max: MAX_TEXT_BYTES });
        }
        self.text_bytes += name.len() + value.len();
        if self.text_bytes > MAX_TEXTS_BYTES {
            return Err(FormError::TooLong { name, max: MAX_TEXTS_BYTES });
        }
        self.params.push((name, value));
        Ok(())
    }

    fn set_file(&mut self, file: FileSource) -> Result<(), FormError> {
        if self.file.is_some() {
            return Err(FormError::SecondFile);
        }
        self.file = Some(file);
        Ok(())
    }

    /// A parameter whose value is whole: the text of a file is decoded.
    async fn push_text(&mut self, name: String, value: String, files: &Files<'_>) -> Result<(), FormError> {
        if name != "file" {
            return self.push(name, value);
        }
        if value.is_empty() {
            return Ok(());
        }
        let mut source = TextSource::begin(value.as_bytes(), files).await?;
        source.push(value.as_bytes()).await?;
        self.set_file(source.finish().await?)
    }
}

/// A file that is given as text: a data URI, or an address to fetch.
enum TextSource {
    DataUri { decoder: DataUriDecoder, spool: Spool },
    Remote(Vec<u8>),
}

impl TextSource {
    /// Decides by the first bytes, which hold at least the scheme.
    async fn begin(start: &[u8], files: &Files<'_>) -> Result<Self, FormError> {
        let starts =
            |scheme: &str| start.get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme.as_bytes()));
        if starts("data:") {
            return Ok(TextSource::DataUri { decoder: DataUriDecoder::new(), spool: files.spool().await? });
        }
        if ["http://", "https://", "ftp://", "s3://", "gs://"].into_iter().any(starts) {
            return Ok(TextSource::Remote(Vec::new()));
        }
        let shown = &start[..start.len().min(100)];
        Err(FormError::UnsupportedSource(String::from_utf8_lossy(shown).into_owned()))
    }

    async fn push(&mut self, text: &[u8]) -> Result<(), FormError> {
        match self {
            TextSource::DataUri { decoder, spool } => {
                let bytes = decoder.push(text)?;
                spool.write(bytes).await?;
            }
            TextSource::Remote(address) => {
                if address.len() + text.len() > MAX_TEXT_BYTES {
                    return Err(FormError::TooLong { name: "file".to_owned(), max: MAX_TEXT_BYTES });
                }
                address.extend_from_slice(text);
            }
        }
        Ok(())
    }

    async fn finish(self) -> Result<FileSource, FormError> {
        match self {
            TextSource::DataUri { decoder, mut spool } => {
                spool.write(decoder.finish()?).await?;
                Ok(FileSource::Received { spool, filename: "file".to_owned() })
            }
            TextSource::Remote(address) => Ok(FileSource::Remote(String::from_utf8_lossy(&address).into_owned())),
        }
    }
}

async fn read_multipart(
    form: &mut Form,
    boundary: String,
    files: &Files<'_>,
    body: &PacedBody,
) -> Result<(), FormError> {
    let mut parts = Multipart::new(body.pieces(), boundary);
    let mut n_parts = 0;
    while let Some(mut field) = parts.next_field().await.map_err(|error| malformed(&error))? {
        body.progressed();
        n_parts += 1;
        if n_parts > MAX_PARAMS {
            return Err(FormError::TooManyParams);
        }
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        if name == "file" {
            let file = match filename {
                Some(filename) => Some(receive(&mut field, filename, files, body).await?),
                None => receive_text(&mut field, files, body).await?,
            };
            if let Some(file) = file {
                form.set_file(file)?;
            }
            continue;
        }
        let mut value = BytesMut::new();
        while let Some(piece) = next_piece(&mut field, body).await? {
            if value.len() + piece.len() > MAX_TEXT_BYTES {
                let name = name.chars().take(64).collect();
                return Err(FormError::TooLong { name, max: MAX_TEXT_BYTES });
            }
            value.extend_from_slice(&piece);
        }
        let value = String::from_utf8(value.into())
            .map_err(|_| FormError::Malformed(format!("{} is not UTF-8", name.escape_debug())))?;
        form.push(name, value)?;
    }
    Ok(())
}

async fn next_piece(field: &mut Field<'_>, body: &PacedBody) -> Result<Option<Bytes>, FormError> {
    let piece = field.next().await.transpose().map_err(|error| malformed(&error))?;
    body.progressed();
    Ok(piece)
}

async fn receive(
    field: &mut Field<'_>,
    filename: String,
    files: &Files<'_>,
    body: &PacedBody,
) -> Result<FileSource, FormError> {
    let mut spool = files.spool().await?;
    while let Some(piece) = next_piece(field, body).await? {
        spool.write(piece).await?;
    }
    Ok(FileSource::Received { spool, filename })
}

/// Bytes that are enough to tell the scheme of a source.
const SCHEME_BYTES: usize = 8;

async fn receive_text(
    field: &mut Field<'_>,
    files: &Files<'_>,
    body: &PacedBody,
) -> Result<Option<FileSource>, FormError> {
    let mut start = BytesMut::new();
    while start.len() < SCHEME_BYTES {
        match next_piece(field, body).await? {
            Some(piece) => start.extend_from_slice(&piece),
            None => break,
        }
    }
    if start.is_empty() {
        return Ok(None);
    }
    let mut source = TextSource::begin(&start, files).await?;
    source.push(&start).await?;
    while let Some(piece) = next_piece(field, body).await? {
        source.push(&piece).await?;
    }
    source.finish().await.map(Some)
}

async fn buffered(body: &PacedBody) -> Result<Bytes, FormError> {
    let mut whole = BytesMut::new();
    let mut pieces = body.pieces();
    while let Some(piece) = pieces.next().await.transpose()? {
        body.progressed();
        if (whole.len() + piece.len()) as u64 > MAX_BUFFERED_BYTES {
            return Err(BodyError::TooLarge(MAX_BUFFERED_BYTES).into());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

async fn read_urlencoded(form: &mut Form, text: &[u8], files: &Files<'_>) -> Result<(), FormError> {
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode_pair(halves.next().unwrap_or_default())?;
        let value = decode_pair(halves.next().unwrap_or_default())?;
        form.push_text(name, value, files).await?;
    }
    Ok(())
}

fn decode_pair(text: &[u8]) -> Result<String, FormError> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect())
        .map_err(|_| FormError::Malformed("a parameter is not UTF-8".to_owned()))
}

async fn read_json(form: &mut Form, text: &[u8], files: &Files<'_>) -> Result<(), FormError> {
    if text.is_empty() {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| FormError::Malformed(error.to_string()))?;
    let Value::Object(fields) = value else {
        return Err(FormError::Malformed("the JSON is no object".to_owned()));
    };
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Array(entries) => {
                for entry in entries {
                    form.push_text(format!("{name}[]"), json_text(entry), files).await?;
                }
            }
            other => form.push_text(name, json_text(other), files).await?,
        }
    }
    Ok(())
}

fn json_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Finds our own error inside of the parser's.
fn malformed(error: &multer::Error) -> FormError {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(body) = cause.downcast_ref::<BodyError>() {
            return FormError::Body(body.clone());
        }
        source = cause.source();
    }
    FormError::Malformed(error.to_string())
}
