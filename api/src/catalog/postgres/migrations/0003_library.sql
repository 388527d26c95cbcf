-- The media library: what assets are found by, definitions of a cloud, backups, jobs. Text that is only looked up whole
-- may be cut, see `catalog/library/terms.rs`.

ALTER TABLE assets ADD COLUMN asset_folder TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE assets ADD COLUMN display_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE assets ADD COLUMN metadata TEXT COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE assets ADD COLUMN details TEXT COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE assets ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN placeholder BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE assets ADD COLUMN backed_up BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE assets SET updated_at = uploaded_at;
CREATE INDEX assets_by_creation ON assets (cloud, created_at, id);
CREATE INDEX assets_by_folder ON assets (cloud, asset_folder, created_at, id);

-- Tags (`tag`), context (`context`), structured metadata (`metadata`), moderation (`moderation`) of assets. `number` is
-- the value as a number where it is one, for ranges.
CREATE TABLE labels (
    asset TEXT COLLATE "C" NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    cloud TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    number BIGINT,
    PRIMARY KEY (asset, kind, name, value)
);
CREATE INDEX labels_by_name ON labels (cloud, kind, name, value, asset);
CREATE INDEX labels_by_type ON labels (cloud, kind, resource_type, name);

-- The words of texts that people search in, lower case; `field` is one of them.
CREATE TABLE words (
    cloud TEXT COLLATE "C" NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    asset TEXT COLLATE "C" NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    PRIMARY KEY (cloud, word, field, asset)
);
CREATE INDEX words_by_asset ON words (asset);

CREATE TABLE folders (
    cloud TEXT COLLATE "C" NOT NULL REFERENCES clouds (id),
    path TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (cloud, path)
);
CREATE INDEX folders_by_parent ON folders (cloud, parent, name);

-- Named things of a cloud whose content is a JSON object: presets, transformations, mappings, metadata fields, streaming
-- profiles, triggers.
CREATE TABLE definitions (
    cloud TEXT COLLATE "C" NOT NULL REFERENCES clouds (id),
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (cloud, kind, name)
);

-- Versions that are kept as backups; they outlive the present content of their asset.
CREATE TABLE asset_versions (
    asset TEXT COLLATE "C" NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    version_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    blob TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    uploaded_at BIGINT NOT NULL,
    format TEXT COLLATE "C" NOT NULL,
    stored_width BIGINT NOT NULL,
    stored_height BIGINT NOT NULL,
    orientation BIGINT NOT NULL,
    has_alpha BOOLEAN NOT NULL,
    etag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (asset, version_id)
);
CREATE INDEX asset_versions_by_blob ON asset_versions (blob);

-- Chunks of uploads that are not complete yet.
CREATE TABLE chunked_uploads (
    cloud TEXT COLLATE "C" NOT NULL REFERENCES clouds (id),
    upload_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (cloud, upload_id)
);
CREATE INDEX chunked_uploads_by_age ON chunked_uploads (updated_at);
CREATE TABLE chunks (
    upload TEXT COLLATE "C" NOT NULL,
    first_byte BIGINT NOT NULL,
    last_byte BIGINT NOT NULL,
    blob TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (upload, first_byte)
);
CREATE INDEX chunks_by_blob ON chunks (blob);

-- Pairs of related assets; each pair is there both ways.
CREATE TABLE relations (
    asset TEXT COLLATE "C" NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    other TEXT COLLATE "C" NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (asset, other)
);
CREATE INDEX relations_by_other ON relations (other);

-- `state` is `waiting`, `running`, `done` or `dead`. A lower `priority` goes first.
CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    cloud TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    -- At most one waiting or running job has a key; empty for those without.
    unique_key TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    priority BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    lease TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    progress TEXT COLLATE "C" NOT NULL,
    error TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL
);
CREATE INDEX jobs_by_turn ON jobs (state, priority, run_at, id);
CREATE INDEX jobs_by_cloud ON jobs (cloud, state, created_at, id);
CREATE INDEX jobs_by_lease ON jobs (state, lease_until);
CREATE UNIQUE INDEX jobs_by_unique_key ON jobs (unique_key) WHERE unique_key <> '' AND state IN ('waiting', 'running');

ALTER TABLE api_keys ADD COLUMN name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE api_keys SET updated_at = created_at;

-- Counters of a cloud's changes: nodes compare them to find out what they have missed.
CREATE TABLE epochs (
    cloud TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES clouds (id),
    epoch BIGINT NOT NULL
);
