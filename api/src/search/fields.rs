//! The fields of assets that can be searched and sorted by.

use super::filter::LabelKind;

/// A column with text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextColumn {
    AssetId,
    PublicId,
    /// The last part of the public id.
    Filename,
    /// As it is shown: the filename unless there is another.
    DisplayName,
    AssetFolder,
    /// What the public id spells before its last part.
    Folder,
    Format,
    ResourceType,
    DeliveryType,
    AccessMode,
    Etag,
    ApiKey,
}

impl TextColumn {
    /// The field of the word index, for texts that have words.
    pub fn word_field(self) -> Option<&'static str> {
        match self {
            TextColumn::PublicId => Some("public_id"),
            TextColumn::Filename => Some("filename"),
            TextColumn::DisplayName => Some("display_name"),
            TextColumn::AssetFolder => Some("asset_folder"),
            TextColumn::Folder => Some("folder"),
            _ => None,
        }
    }

    /// Whether its values are in lower case, so that case does not matter.
    pub fn is_lower(self) -> bool {
        use TextColumn::*;
        matches!(self, AssetId | Format | ResourceType | DeliveryType | AccessMode | Etag)
    }
}

/// A column with integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberColumn {
    Bytes,
    /// Zero without a backup.
    BackupBytes,
    Width,
    Height,
    Pixels,
    /// In hundred thousandths.
    AspectRatio,
    /// In milliseconds; -1 where there is none.
    Duration,
    Pages,
    /// -1 where nobody looked for faces.
    FaceCount,
    Version,
    CreatedAt,
    UploadedAt,
    UpdatedAt,
}

/// How literals of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Whole,
    Bytes,
    Ratio,
    Seconds,
    Time,
}

impl NumberColumn {
    pub(super) fn unit(self) -> Unit {
        match self {
            NumberColumn::Bytes | NumberColumn::BackupBytes => Unit::Bytes,
            NumberColumn::AspectRatio => Unit::Ratio,
            NumberColumn::Duration => Unit::Seconds,
            NumberColumn::CreatedAt | NumberColumn::UploadedAt | NumberColumn::UpdatedAt => Unit::Time,
            _ => Unit::Whole,
        }
    }

    /// The least value that is one.
    pub(super) fn least(self) -> i64 {
        match self {
            NumberColumn::CreatedAt | NumberColumn::UploadedAt | NumberColumn::UpdatedAt => i64::MIN,
            NumberColumn::Width
            | NumberColumn::Height
            | NumberColumn::Pixels
            | NumberColumn::AspectRatio
            | NumberColumn::Pages => 1,
            _ => 0,
        }
    }
}

/// What a name in an expression means.
pub(super) enum Target {
    Text(TextColumn),
    Number(NumberColumn),
    Label {
        kind: LabelKind,
        name: Option<String>,
    },
    ModerationKind,
    ModerationStatus,
    Status,
    Transparent,
    /// A field of the original that is not kept in a form to search by.
    Unsearchable,
}

/// The field of a name.
pub(super) fn target(name: &str) -> Option<Target> {
    use {NumberColumn::*, TextColumn::*};
    let label = |kind, name: &str| Target::Label { kind, name: Some(name.to_owned()) };
    if let Some(key) = name.strip_prefix("context.").filter(|key| !key.is_empty()) {
        return Some(label(LabelKind::Context, key));
    }
    if let Some(id) = name.strip_prefix("metadata.").filter(|id| !id.is_empty()) {
        return Some(label(LabelKind::Metadata, id));
    }
    Some(match name {
        "asset_id" => Target::Text(AssetId),
        "public_id" => Target::Text(PublicId),
        "folder" => Target::Text(Folder),
        "asset_folder" => Target::Text(AssetFolder),
        "filename" => Target::Text(Filename),
        "display_name" => Target::Text(DisplayName),
        "format" => Target::Text(Format),
        "resource_type" => Target::Text(ResourceType),
        "type" => Target::Text(DeliveryType),
        "access_mode" => Target::Text(AccessMode),
        "etag" => Target::Text(Etag),
        "created_by" | "uploaded_by" => Target::Text(ApiKey),
        "tags" => Target::Label { kind: LabelKind::Tag, name: None },
        "context" => Target::Label { kind: LabelKind::Context, name: None },
        "metadata" => Target::Label { kind: LabelKind::Metadata, name: None },
        "created_at" => Target::Number(CreatedAt),
        "uploaded_at" => Target::Number(UploadedAt),
        "updated_at" | "last_updated" | "last_updated.updated_at" => Target::Number(UpdatedAt),
        "bytes" => Target::Number(Bytes),
        "backup_bytes" => Target::Number(BackupBytes),
        "width" => Target::Number(Width),
        "height" => Target::Number(Height),
        "pixels" => Target::Number(Pixels),
        "aspect_ratio" => Target::Number(AspectRatio),
        "duration" => Target::Number(Duration),
        "pages" => Target::Number(Pages),
        "face_count" => Target::Number(FaceCount),
        "version" => Target::Number(Version),
        "moderation_kind" => Target::ModerationKind,
        "moderation_status" => Target::ModerationStatus,
        "status" => Target::Status,
        "transparent" => Target::Transparent,
        "taken_at" | "access_control" | "colors" | "illustration_score" | "grayscale" | "quality_score"
        | "transformations" => Target::Unsearchable,
        other if other.starts_with("last_updated.") => Target::Unsearchable,
        _ => return None,
    })
}

/// What results are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortColumn {
    Text(TextColumn),
    Number(NumberColumn),
    /// Assets before placeholders.
    Status,
}

impl SortColumn {
    /// The column of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        match target(name)? {
            Target::Text(column) => Some(SortColumn::Text(column)),
            Target::Number(column) => Some(SortColumn::Number(column)),
            Target::Status => Some(SortColumn::Status),
            _ => None,
        }
    }
}
