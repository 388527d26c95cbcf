-- The transaction that last changed what deliveries of a cloud may show. Triggers write it in the transaction of the change,
-- whoever makes it, so that no process can forget to; they wait for the end of it, so that changes of one cloud stand in
-- line only while they commit. Rows stay when their cloud goes, for processes that look later.
DROP TABLE epochs;
CREATE TABLE epochs (
    cloud TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL
);
CREATE INDEX epochs_by_number ON epochs (epoch);

CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched RECORD;
    changed TEXT;
    noted TEXT;
BEGIN
    IF TG_OP = 'DELETE' THEN
        touched := OLD;
    ELSE
        touched := NEW;
    END IF;
    IF TG_TABLE_NAME = 'clouds' THEN
        changed := touched.id;
    ELSIF TG_TABLE_NAME = 'settings' THEN
        changed := substr(touched.name, 7);
    ELSE
        changed := touched.cloud;
    END IF;
    -- Once for each transaction and cloud is enough.
    noted := txid_current() || ' ' || changed;
    IF current_setting('tintype.noted', true) IS NOT DISTINCT FROM noted THEN
        RETURN NULL;
    END IF;
    INSERT INTO epochs (cloud, epoch) VALUES (changed, txid_current())
        ON CONFLICT (cloud) DO UPDATE SET epoch = EXCLUDED.epoch;
    PERFORM pg_notify('tintype_changes', '');
    PERFORM set_config('tintype.noted', noted, true);
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER assets_change
    AFTER INSERT OR DELETE OR UPDATE OF blob, version, public_id, delivery_type, access_mode, details, placeholder,
        face_coordinates, custom_coordinates
    ON assets DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER definitions_change AFTER INSERT OR DELETE OR UPDATE
    ON definitions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER api_keys_change AFTER INSERT OR DELETE OR UPDATE
    ON api_keys DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER clouds_change AFTER INSERT OR DELETE OR UPDATE
    ON clouds DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER settings_change AFTER INSERT OR UPDATE
    ON settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name LIKE 'cloud.%')
    EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER settings_deletion AFTER DELETE
    ON settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.name LIKE 'cloud.%')
    EXECUTE FUNCTION note_change();
