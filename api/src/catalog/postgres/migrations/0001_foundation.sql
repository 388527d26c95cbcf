-- Text is compared by its bytes (collation "C"). Points in time are unix microseconds, days are days since
-- 1970-01-01.

CREATE TABLE key_check (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    sealed BYTEA NOT NULL
);

CREATE TABLE clouds (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    key TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    cloud TEXT COLLATE "C" NOT NULL REFERENCES clouds (id),
    sealed_secret BYTEA NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX api_keys_by_cloud ON api_keys (cloud, created_at, key);

CREATE TABLE assets (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    cloud TEXT COLLATE "C" NOT NULL REFERENCES clouds (id),
    resource_type TEXT COLLATE "C" NOT NULL,
    delivery_type TEXT COLLATE "C" NOT NULL,
    public_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    version_id TEXT COLLATE "C" NOT NULL,
    format TEXT COLLATE "C" NOT NULL,
    stored_width BIGINT NOT NULL,
    stored_height BIGINT NOT NULL,
    orientation BIGINT NOT NULL,
    has_alpha BOOLEAN NOT NULL,
    bytes BIGINT NOT NULL,
    etag TEXT COLLATE "C" NOT NULL,
    blob TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    uploaded_at BIGINT NOT NULL,
    original_filename TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    context TEXT COLLATE "C" NOT NULL,
    faces TEXT COLLATE "C",
    face_coordinates TEXT COLLATE "C" NOT NULL,
    custom_coordinates TEXT COLLATE "C" NOT NULL,
    api_key TEXT COLLATE "C" NOT NULL,
    access_mode TEXT COLLATE "C" NOT NULL,
    UNIQUE (cloud, resource_type, delivery_type, public_id)
);
CREATE INDEX assets_by_public_id ON assets (cloud, public_id, id);
CREATE INDEX assets_by_blob ON assets (blob);

CREATE TABLE derived (
    key TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    asset TEXT COLLATE "C" NOT NULL REFERENCES assets (id),
    version_id TEXT COLLATE "C" NOT NULL,
    transformation TEXT COLLATE "C" NOT NULL,
    format TEXT COLLATE "C" NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    etag TEXT COLLATE "C" NOT NULL,
    blob TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    renderer_revision BIGINT NOT NULL,
    profile TEXT COLLATE "C" NOT NULL,
    backend TEXT COLLATE "C" NOT NULL,
    quality BIGINT,
    has_alpha BOOLEAN NOT NULL
);
CREATE INDEX derived_by_asset ON derived (asset, created_at DESC, key);
CREATE INDEX derived_by_blob ON derived (blob);

-- Blobs that no row names, in the order in which they lost their last one.
CREATE TABLE garbage (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    blob TEXT COLLATE "C" NOT NULL UNIQUE,
    since BIGINT NOT NULL
);

CREATE TABLE usage (
    cloud TEXT COLLATE "C" NOT NULL REFERENCES clouds (id),
    day BIGINT NOT NULL,
    transformations BIGINT NOT NULL,
    bandwidth_bytes BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (cloud, day)
);

CREATE TABLE settings (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    value TEXT COLLATE "C" NOT NULL
);
