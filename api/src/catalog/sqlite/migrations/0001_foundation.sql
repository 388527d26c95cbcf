-- Text is compared by its bytes (BINARY, the default). Points in time are unix microseconds, days are days since
-- 1970-01-01, flags are 0 or 1.

CREATE TABLE key_check (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE clouds (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    key TEXT PRIMARY KEY NOT NULL,
    cloud TEXT NOT NULL REFERENCES clouds (id),
    sealed_secret BLOB NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_keys_by_cloud ON api_keys (cloud, created_at, key);

CREATE TABLE assets (
    id TEXT PRIMARY KEY NOT NULL,
    cloud TEXT NOT NULL REFERENCES clouds (id),
    resource_type TEXT NOT NULL,
    delivery_type TEXT NOT NULL,
    public_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    version_id TEXT NOT NULL,
    format TEXT NOT NULL,
    stored_width INTEGER NOT NULL,
    stored_height INTEGER NOT NULL,
    orientation INTEGER NOT NULL,
    has_alpha INTEGER NOT NULL CHECK (has_alpha IN (0, 1)),
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    blob TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    uploaded_at INTEGER NOT NULL,
    original_filename TEXT NOT NULL,
    tags TEXT NOT NULL,
    context TEXT NOT NULL,
    faces TEXT,
    face_coordinates TEXT NOT NULL,
    custom_coordinates TEXT NOT NULL,
    api_key TEXT NOT NULL,
    access_mode TEXT NOT NULL,
    UNIQUE (cloud, resource_type, delivery_type, public_id)
) STRICT;
CREATE INDEX assets_by_public_id ON assets (cloud, public_id, id);
CREATE INDEX assets_by_blob ON assets (blob);

CREATE TABLE derived (
    key TEXT PRIMARY KEY NOT NULL,
    asset TEXT NOT NULL REFERENCES assets (id),
    version_id TEXT NOT NULL,
    transformation TEXT NOT NULL,
    format TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    blob TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    renderer_revision INTEGER NOT NULL,
    profile TEXT NOT NULL,
    backend TEXT NOT NULL,
    quality INTEGER,
    has_alpha INTEGER NOT NULL CHECK (has_alpha IN (0, 1))
) STRICT;
CREATE INDEX derived_by_asset ON derived (asset, created_at DESC, key);
CREATE INDEX derived_by_blob ON derived (blob);

-- Blobs that no row names, in the order in which they lost their last one.
CREATE TABLE garbage (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    blob TEXT NOT NULL UNIQUE,
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE usage (
    cloud TEXT NOT NULL REFERENCES clouds (id),
    day INTEGER NOT NULL,
    transformations INTEGER NOT NULL,
    bandwidth_bytes INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (cloud, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
