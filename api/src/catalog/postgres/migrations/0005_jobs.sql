-- Jobs of one queue are done one after the other; empty for those without a queue.
ALTER TABLE jobs ADD COLUMN queue TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX jobs_by_queue ON jobs (queue, created_at, id) WHERE queue <> '' AND state IN ('waiting', 'running');

-- Claims go kind by kind and cloud by cloud.
DROP INDEX jobs_by_turn;
CREATE INDEX jobs_by_turn ON jobs (state, kind, cloud, priority, run_at, id);
CREATE INDEX jobs_by_time ON jobs (state, kind, run_at);
CREATE INDEX jobs_by_creation ON jobs (created_at, id);
CREATE INDEX jobs_by_end ON jobs (state, finished_at);
