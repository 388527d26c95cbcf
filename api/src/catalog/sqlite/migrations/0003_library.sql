-- The media library: what assets are found by, definitions of a cloud, backups, jobs. Text that is only looked up whole
-- may be cut, see `catalog/library/terms.rs`.

ALTER TABLE assets ADD COLUMN asset_folder TEXT NOT NULL DEFAULT '';
ALTER TABLE assets ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE assets ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE assets ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
ALTER TABLE assets ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN placeholder INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN backed_up INTEGER NOT NULL DEFAULT 0;
UPDATE assets SET updated_at = uploaded_at;
CREATE INDEX assets_by_creation ON assets (cloud, created_at, id);
CREATE INDEX assets_by_folder ON assets (cloud, asset_folder, created_at, id);

-- Tags (`tag`), context (`context`), structured metadata (`metadata`), moderation (`moderation`) of assets. `number` is
-- the value as a number where it is one, for ranges.
CREATE TABLE labels (
    asset TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    cloud TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    number INTEGER,
    PRIMARY KEY (asset, kind, name, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_name ON labels (cloud, kind, name, value, asset);
CREATE INDEX labels_by_type ON labels (cloud, kind, resource_type, name);

-- The words of texts that people search in, lower case; `field` is one of them.
CREATE TABLE words (
    cloud TEXT NOT NULL,
    word TEXT NOT NULL,
    field TEXT NOT NULL,
    asset TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    PRIMARY KEY (cloud, word, field, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX words_by_asset ON words (asset);

CREATE TABLE folders (
    cloud TEXT NOT NULL REFERENCES clouds (id),
    path TEXT NOT NULL,
    parent TEXT NOT NULL,
    name TEXT NOT NULL,
    external_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (cloud, path)
) STRICT;
CREATE INDEX folders_by_parent ON folders (cloud, parent, name);

-- Named things of a cloud whose content is a JSON object: presets, transformations, mappings, metadata fields, streaming
-- profiles, triggers.
CREATE TABLE definitions (
    cloud TEXT NOT NULL REFERENCES clouds (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (cloud, kind, name)
) STRICT;

-- Versions that are kept as backups; they outlive the present content of their asset.
CREATE TABLE asset_versions (
    asset TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    version_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    blob TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    uploaded_at INTEGER NOT NULL,
    format TEXT NOT NULL,
    stored_width INTEGER NOT NULL,
    stored_height INTEGER NOT NULL,
    orientation INTEGER NOT NULL,
    has_alpha INTEGER NOT NULL,
    etag TEXT NOT NULL,
    PRIMARY KEY (asset, version_id)
) STRICT;
CREATE INDEX asset_versions_by_blob ON asset_versions (blob);

-- Chunks of uploads that are not complete yet.
CREATE TABLE chunked_uploads (
    cloud TEXT NOT NULL REFERENCES clouds (id),
    upload_id TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (cloud, upload_id)
) STRICT;
CREATE INDEX chunked_uploads_by_age ON chunked_uploads (updated_at);
CREATE TABLE chunks (
    upload TEXT NOT NULL,
    first_byte INTEGER NOT NULL,
    last_byte INTEGER NOT NULL,
    blob TEXT NOT NULL,
    PRIMARY KEY (upload, first_byte)
) STRICT;
CREATE INDEX chunks_by_blob ON chunks (blob);

-- Pairs of related assets; each pair is there both ways.
CREATE TABLE relations (
    asset TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    other TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (asset, other)
) STRICT;
CREATE INDEX relations_by_other ON relations (other);

-- `state` is `waiting`, `running`, `done` or `dead`. A lower `priority` goes first.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    cloud TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- At most one waiting or running job has a key; empty for those without.
    unique_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    lease TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    progress TEXT NOT NULL,
    error TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_turn ON jobs (state, priority, run_at, id);
CREATE INDEX jobs_by_cloud ON jobs (cloud, state, created_at, id);
CREATE INDEX jobs_by_lease ON jobs (state, lease_until);
CREATE UNIQUE INDEX jobs_by_unique_key ON jobs (unique_key) WHERE unique_key <> '' AND state IN ('waiting', 'running');

ALTER TABLE api_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE api_keys SET updated_at = created_at;

-- Counters of a cloud's changes: nodes compare them to find out what they have missed.
CREATE TABLE epochs (
    cloud TEXT NOT NULL PRIMARY KEY REFERENCES clouds (id),
    epoch INTEGER NOT NULL
) STRICT;
