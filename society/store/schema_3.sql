-- A run store, version 3: read, and migrated when a run goes on with it (`society.store.migrate`).
CREATE TABLE meta (
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

CREATE TABLE texts (
  key BLOB NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (key)
) STRICT;

CREATE TABLE turns (
  iteration INTEGER NOT NULL CHECK (iteration >= 0 AND iteration <= 9007199254740991),
  item TEXT NOT NULL,
  phase TEXT NOT NULL,
  round INTEGER NOT NULL CHECK (round >= 0 AND round <= 9007199254740991),
  agent TEXT NOT NULL,
  sample INTEGER NOT NULL DEFAULT 0 CHECK (sample >= 0 AND sample <= 9007199254740991),
  key TEXT NOT NULL,
  messages TEXT NOT NULL,
  text TEXT NOT NULL,
  answer TEXT,
  finish_reason TEXT NOT NULL DEFAULT 'stop' CHECK (finish_reason IN ('stop', 'stop_text', 'length')),
  prompt_tokens INTEGER NOT NULL DEFAULT 0 CHECK (prompt_tokens >= 0 AND prompt_tokens <= 9007199254740991),
  generated_tokens INTEGER NOT NULL DEFAULT 0 CHECK (generated_tokens >= 0 AND generated_tokens <= 9007199254740991),
  cached_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0 AND cached_tokens <= 9007199254740991),
  seconds REAL NOT NULL DEFAULT 0.0 CHECK (seconds >= 0 AND seconds <= 1000000000000.0),
  logprob REAL CHECK (logprob >= -1e+300 AND logprob <= 0),
  confidence REAL CHECK (confidence >= 0 AND confidence <= 1),
  adapter TEXT,
  status TEXT NOT NULL DEFAULT 'ok' CHECK (status IN ('ok', 'failed')),
  error TEXT NOT NULL DEFAULT '',
  reads TEXT NOT NULL DEFAULT '[]',
  tokens BLOB CHECK (tokens IS NULL OR typeof(tokens) = 'blob' AND hex(substr(tokens, 1, 1)) IN ('02', '04') AND (length(tokens) - 1) % CAST(hex(substr(tokens, 1, 1)) AS INTEGER) = 0),
  replied INTEGER NOT NULL DEFAULT 1 CHECK (replied IN (0, 1)),
  reused INTEGER NOT NULL DEFAULT 0 CHECK (reused IN (0, 1)),
  PRIMARY KEY (iteration, item, sample, phase, round, agent)
) STRICT;

CREATE TABLE results (
  iteration INTEGER NOT NULL CHECK (iteration >= 0 AND iteration <= 9007199254740991),
  item TEXT NOT NULL,
  sample INTEGER NOT NULL CHECK (sample >= 0 AND sample <= 9007199254740991),
  split TEXT NOT NULL CHECK (split IN ('evaluation', 'training')),
  question TEXT NOT NULL,
  gold TEXT NOT NULL,
  answer TEXT,
  support REAL NOT NULL DEFAULT 0.0 CHECK (support >= 0 AND support <= 1),
  reason TEXT NOT NULL DEFAULT '',
  tied TEXT NOT NULL DEFAULT '[]',
  correct INTEGER NOT NULL CHECK (correct IN (0, 1)),
  verdicts TEXT NOT NULL,
  PRIMARY KEY (iteration, item, sample)
) STRICT;

CREATE TABLE adapters (
  iteration INTEGER NOT NULL CHECK (iteration >= 0 AND iteration <= 9007199254740991),
  learner TEXT NOT NULL,
  agent TEXT NOT NULL,
  hash TEXT,
  path TEXT NOT NULL,
  base TEXT NOT NULL,
  examples INTEGER NOT NULL CHECK (examples >= 0 AND examples <= 9007199254740991),
  left_out TEXT NOT NULL,
  losses TEXT NOT NULL,
  tokens INTEGER NOT NULL CHECK (tokens >= 0 AND tokens <= 9007199254740991),
  seconds REAL NOT NULL CHECK (seconds >= 0 AND seconds <= 1000000000000.0),
  trained_on TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (iteration, learner, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE examples (
  iteration INTEGER NOT NULL CHECK (iteration >= 0 AND iteration <= 9007199254740991),
  learner TEXT NOT NULL,
  agent TEXT NOT NULL,
  number INTEGER NOT NULL CHECK (number >= 0 AND number <= 9007199254740991),
  source_iteration INTEGER NOT NULL CHECK (source_iteration >= 0 AND source_iteration <= 9007199254740991),
  source_item TEXT NOT NULL,
  source_phase TEXT NOT NULL,
  source_round INTEGER NOT NULL CHECK (source_round >= 0 AND source_round <= 9007199254740991),
  source_agent TEXT NOT NULL,
  source_sample INTEGER NOT NULL DEFAULT 0 CHECK (source_sample >= 0 AND source_sample <= 9007199254740991),
  rule TEXT NOT NULL,
  PRIMARY KEY (iteration, learner, agent, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX turns_by_key ON turns (key);
