-- Who renders a derived picture, until when at most (unix microseconds by the clock of the server). Losing rows costs work
-- that is done twice, so they are in no log and no commit waits for them.
CREATE UNLOGGED TABLE renderings (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL
);
