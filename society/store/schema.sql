-- A run store, version 1. Texts are stored once each; a turn's chat is a list of [role, text key in hex].
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE texts (key BLOB PRIMARY KEY, text TEXT NOT NULL);

CREATE TABLE turns (
  iteration INTEGER NOT NULL, item TEXT NOT NULL, sample INTEGER NOT NULL,
  phase TEXT NOT NULL, round INTEGER NOT NULL, agent TEXT NOT NULL,
  key TEXT NOT NULL,               -- hash of everything that shaped the turn
  status TEXT NOT NULL,            -- ok or failed
  error TEXT NOT NULL,
  chat TEXT NOT NULL,              -- what the model was given
  text TEXT NOT NULL, answer TEXT, finish_reason TEXT NOT NULL,
  logprob REAL, confidence REAL, adapter TEXT,
  prompt_tokens INTEGER NOT NULL, generated_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
  seconds REAL NOT NULL,
  reads TEXT NOT NULL,             -- the turns it was shown: [[phase, round, agent], ...]
  reused INTEGER NOT NULL,         -- 1 if taken over from another run's store
  PRIMARY KEY (iteration, item, sample, phase, round, agent)
);

CREATE INDEX turns_by_key ON turns (key);

CREATE TABLE results (
  iteration INTEGER NOT NULL, item TEXT NOT NULL, sample INTEGER NOT NULL,
  question TEXT NOT NULL, gold TEXT NOT NULL,
  answer TEXT, support REAL NOT NULL, reason TEXT NOT NULL, tied TEXT NOT NULL,
  correct INTEGER NOT NULL,
  verdicts TEXT NOT NULL,          -- of each distinct answer in the debate: is it right?
  PRIMARY KEY (iteration, item, sample)
);
