-- What searches compare and sort by beside what was there: computed from other columns, except for `pages` and
-- `duration_ms`, which are written with the asset. -1 means that there is no such value.

ALTER TABLE assets
    ADD COLUMN pages BIGINT NOT NULL DEFAULT 1,
    ADD COLUMN duration_ms BIGINT NOT NULL DEFAULT -1,
    ADD COLUMN width BIGINT GENERATED ALWAYS AS
        (CASE WHEN orientation >= 5 THEN stored_height ELSE stored_width END) STORED,
    ADD COLUMN height BIGINT GENERATED ALWAYS AS
        (CASE WHEN orientation >= 5 THEN stored_width ELSE stored_height END) STORED,
    ADD COLUMN pixels BIGINT GENERATED ALWAYS AS (stored_width * stored_height) STORED,
    -- In hundred thousandths, rounded.
    ADD COLUMN aspect_ratio BIGINT GENERATED ALWAYS AS (
        CASE WHEN stored_width = 0 OR stored_height = 0 THEN -1
             WHEN orientation >= 5 THEN (stored_height * 200000 + stored_width) / (stored_width * 2)
             ELSE (stored_width * 200000 + stored_height) / (stored_height * 2) END
    ) STORED,
    -- Each face is a list in a list.
    ADD COLUMN face_count BIGINT GENERATED ALWAYS AS (
        CASE WHEN face_coordinates <> '[]' THEN length(face_coordinates) - length(replace(face_coordinates, '[', '')) - 1
             WHEN faces IS NULL THEN -1
             ELSE length(faces) - length(replace(faces, '[', '')) - 1 END
    ) STORED,
    -- The public id without its last part, and that part: all characters but slashes are trimmed from its end.
    ADD COLUMN folder TEXT COLLATE "C" GENERATED ALWAYS AS
        (rtrim(rtrim(public_id, replace(public_id, '/', '')), '/')) STORED,
    ADD COLUMN filename TEXT COLLATE "C" GENERATED ALWAYS AS
        (substr(public_id, length(rtrim(public_id, replace(public_id, '/', ''))) + 1)) STORED;

CREATE INDEX assets_by_format ON assets (cloud, format, resource_type, delivery_type, placeholder);
CREATE INDEX assets_by_bytes ON assets (cloud, bytes, id);
CREATE INDEX assets_by_width ON assets (cloud, width, id);
CREATE INDEX assets_by_height ON assets (cloud, height, id);
CREATE INDEX assets_by_upload ON assets (cloud, uploaded_at, id);
CREATE INDEX assets_by_update ON assets (cloud, updated_at, id);
CREATE INDEX assets_by_etag ON assets (cloud, etag);
CREATE INDEX labels_by_number ON labels (cloud, kind, name, number, asset) WHERE number IS NOT NULL;
