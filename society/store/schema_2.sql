-- A run store, version 2: read, and migrated when a run goes on with it (`society.store.migrate`).
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE texts (key BLOB PRIMARY KEY, text TEXT NOT NULL);

CREATE TABLE turns (
  iteration INTEGER NOT NULL, item TEXT NOT NULL, sample INTEGER NOT NULL,
  phase TEXT NOT NULL, round INTEGER NOT NULL, agent TEXT NOT NULL,
  key TEXT NOT NULL,               -- hash of everything that shaped the text
  status TEXT NOT NULL,            -- ok or failed; like error, answer and confidence derived from the reply
  error TEXT NOT NULL,
  chat TEXT NOT NULL,              -- what the model was given
  text TEXT NOT NULL, answer TEXT, finish_reason TEXT NOT NULL,
  logprob REAL, confidence REAL, adapter TEXT,
  prompt_tokens INTEGER NOT NULL, generated_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
  seconds REAL NOT NULL,
  reads TEXT NOT NULL,             -- the turns it was shown: [[phase, round, agent], ...]
  reused INTEGER NOT NULL,         -- 1 if taken over from another run's store
  tokens BLOB,                     -- drawn token ids of the reply, as `society.store.tokens` packs them
  replied INTEGER NOT NULL,        -- 0 if the backend gave no reply
  PRIMARY KEY (iteration, item, sample, phase, round, agent)
);

CREATE INDEX turns_by_key ON turns (key);

CREATE TABLE results (
  iteration INTEGER NOT NULL, item TEXT NOT NULL, sample INTEGER NOT NULL,
  split TEXT NOT NULL,             -- evaluation or training
  question TEXT NOT NULL, gold TEXT NOT NULL,
  answer TEXT, support REAL NOT NULL, reason TEXT NOT NULL, tied TEXT NOT NULL,
  correct INTEGER NOT NULL,
  verdicts TEXT NOT NULL,          -- of each distinct answer in the debate: is it right?
  PRIMARY KEY (iteration, item, sample)
);

-- One row per adapter: trained after the debates of `iteration`. No hash: there was nothing to learn from.
CREATE TABLE adapters (
  iteration INTEGER NOT NULL, learner TEXT NOT NULL, agent TEXT NOT NULL,  -- agent "*": shared by all
  hash TEXT, path TEXT NOT NULL, base TEXT NOT NULL,  -- path: within the run's folder
  examples INTEGER NOT NULL, left_out TEXT NOT NULL, losses TEXT NOT NULL,
  tokens INTEGER NOT NULL, seconds REAL NOT NULL,
  trained_on TEXT NOT NULL,        -- hash of everything that shaped it: rows, settings, seed, model, start
  PRIMARY KEY (iteration, learner, agent)
) WITHOUT ROWID;

-- One row per training row, in the order trained on: the turn it comes from, and the rule that took it.
CREATE TABLE examples (
  iteration INTEGER NOT NULL, learner TEXT NOT NULL, agent TEXT NOT NULL, number INTEGER NOT NULL,
  item TEXT NOT NULL, sample INTEGER NOT NULL, phase TEXT NOT NULL, round INTEGER NOT NULL, speaker TEXT NOT NULL,
  rule TEXT NOT NULL,
  PRIMARY KEY (iteration, learner, agent, number)
) WITHOUT ROWID;
