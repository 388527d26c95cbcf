-- Eviction goes through derived pictures by their last use and adds up their bytes without reading the rows.
CREATE INDEX derived_by_use ON derived (last_used_at, key, bytes);
