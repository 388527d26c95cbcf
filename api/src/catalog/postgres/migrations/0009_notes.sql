-- Commits of one cloud do not wait for each other. There was one row for each cloud, which a change of it locked until its
-- commit was on disk, and a notice, which PostgreSQL gives under a lock on all commits that give one. Now each transaction
-- adds a row of its own; rows are folded now and then, and programs give the notice after their commit.
ALTER TABLE epochs DROP CONSTRAINT epochs_pkey;
ALTER TABLE epochs ADD PRIMARY KEY (epoch, cloud);
DROP INDEX epochs_by_number;

CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
    INSERT INTO epochs (cloud, epoch) VALUES (changed, txid_current()) ON CONFLICT (epoch, cloud) DO NOTHING;
    PERFORM set_config('tintype.noted', noted, true);
    RETURN NULL;
END
$$;
