-- The number of a cloud's last change that deliveries may show. Triggers write it in the transaction of the change, whoever
-- makes it, so that no process can forget to. Numbers grow over all clouds: there is one writer at a time. Rows stay when
-- their cloud goes, for processes that look later.
DROP TABLE epochs;
CREATE TABLE epochs (
    cloud TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX epochs_by_number ON epochs (epoch);

CREATE TRIGGER assets_created AFTER INSERT ON assets BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER assets_changed AFTER UPDATE OF blob, version, public_id, delivery_type, access_mode, details, placeholder, face_coordinates, custom_coordinates ON assets BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER assets_deleted AFTER DELETE ON assets BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (OLD.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER definitions_created AFTER INSERT ON definitions BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER definitions_changed AFTER UPDATE ON definitions BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER definitions_deleted AFTER DELETE ON definitions BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (OLD.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER api_keys_created AFTER INSERT ON api_keys BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER api_keys_changed AFTER UPDATE ON api_keys BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (OLD.cloud, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER clouds_created AFTER INSERT ON clouds BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.id, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER clouds_changed AFTER UPDATE ON clouds BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (NEW.id, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER clouds_deleted AFTER DELETE ON clouds BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (OLD.id, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER settings_created AFTER INSERT ON settings WHEN NEW.name LIKE 'cloud.%' BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (substr(NEW.name, 7), (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER settings_changed AFTER UPDATE ON settings WHEN NEW.name LIKE 'cloud.%' BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (substr(NEW.name, 7), (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
CREATE TRIGGER settings_deleted AFTER DELETE ON settings WHEN OLD.name LIKE 'cloud.%' BEGIN
    INSERT INTO epochs (cloud, epoch) VALUES (substr(OLD.name, 7), (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
    ON CONFLICT (cloud) DO UPDATE SET epoch = excluded.epoch;
END;
