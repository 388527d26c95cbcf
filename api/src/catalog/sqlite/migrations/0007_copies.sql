-- Originals that the second store has, or is to have soon. `freed_at` (unix microseconds) is when the last row that names
-- the blob went, 0 while there is one: the copy stays for some time after that.
CREATE TABLE copies (
    blob TEXT NOT NULL PRIMARY KEY,
    freed_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX copies_by_end ON copies (freed_at) WHERE freed_at > 0;
