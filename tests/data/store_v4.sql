BEGIN TRANSACTION;
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
INSERT INTO "adapters" VALUES(0,'critic','*','h','adapters/1/critic/shared','b',1,'{"not selected": 2}','[0.5, 0.25]',9,1.5,'t');
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
INSERT INTO "examples" VALUES(0,'critic','*',0,0,'2+26','debate',2,'solver-2',0,'agrees');
CREATE TABLE meta (
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('definition','{"version": 1, "name": "sums", "source": "", "description": "", "seed": 0, "task": {"limit": 3, "offset": 0, "shuffle": false, "answer": {"extract": null, "equal": null, "tolerance": null}, "kind": "arithmetic", "form": "a+b", "low": 0, "high": 30}, "backends": {"scripted": {"kind": "scripted", "rules": [{"when": null, "system": null, "say": null, "choose": null, "weights": null, "calculate": {"skill": 0.6, "wrong": "spread", "say": "The answer is {answer}."}, "average": null, "fail": null}], "context": null}}, "roles": {"solver": {"system": null, "prompt": "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}", "memory": null, "confidence": "none", "choices": [], "sampling": {"temperature": null, "top_p": null, "top_k": null, "min_p": null, "repeat_penalty": null, "max_tokens": null, "stop": null}}}, "agents": {"solver": {"count": 3, "role": "", "backend": "", "adapter": null, "persona": null, "sampling": {"temperature": null, "top_p": null, "top_k": null, "min_p": null, "repeat_penalty": null, "max_tokens": null, "stop": null}}}, "phases": [{"name": "debate", "agents": [], "reads": [], "topology": {"kind": "complete"}, "within": null, "rounds": 2, "schedule": "simultaneous", "order": "declared", "speak": "always", "moderator": "", "edges": {"show": "full", "window": 1, "anonymous": false, "gate": []}, "cap": null, "summarizer": "", "bind": {}, "stop": [], "controllers": []}], "decision": {"voters": [], "ties": "abstain", "unparsed": "abstain", "failed": null, "quorum": 1, "kind": "majority"}, "sampling": {"temperature": null, "top_p": null, "top_k": null, "min_p": null, "repeat_penalty": null, "max_tokens": null, "stop": null}, "train": null, "samples": 1, "order of agents": ["solver"]}');
INSERT INTO "meta" VALUES('files','{}');
INSERT INTO "meta" VALUES('fingerprint','08478f770c52569c010da8dbfcd8ae4a');
INSERT INTO "meta" VALUES('later_versions','[]');
INSERT INTO "meta" VALUES('models','{"scripted": "6e3538646871db5627722e4308afcfdf"}');
INSERT INTO "meta" VALUES('questions','f35c4bed5ea1c951330d9a2b49f1ce12');
INSERT INTO "meta" VALUES('scenario','{"version":1,"name":"sums","task":{"limit":3,"kind":"arithmetic","form":"a+b"},"backends":{"scripted":{"kind":"scripted","rules":[{"calculate":{"skill":0.6,"wrong":"spread"}}]}},"roles":{"solver":{"prompt":"{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}},"agents":{"solver":{"count":3}},"phases":[{"name":"debate","topology":{"kind":"complete"},"rounds":2}]}');
INSERT INTO "meta" VALUES('store_version','4');
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
  voters TEXT NOT NULL DEFAULT '[]',
  correct INTEGER NOT NULL CHECK (correct IN (0, 1)),
  verdicts TEXT NOT NULL,
  PRIMARY KEY (iteration, item, sample)
) STRICT;
INSERT INTO "results" VALUES(0,'2+26',0,'evaluation','What is the value of 2+26?','28','28',6.66666666666666629659e-01,'','[]','[]',1,'{"28": true, "29": false}');
INSERT INTO "results" VALUES(0,'19+11',0,'evaluation','What is the value of 19+11?','30','30',1.0,'','[]','[]',1,'{"30": true}');
INSERT INTO "results" VALUES(0,'29+15',0,'evaluation','What is the value of 29+15?','44',NULL,3.33333333333333314829e-01,'tie','["50", "47", "44"]','[]',0,'{"44": true, "47": false, "50": false}');
CREATE TABLE texts (
  key BLOB NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (key)
) STRICT;
INSERT INTO "texts" VALUES(X'2F8B4AE05906BB5E3BEC6CD45334792A','What is the value of 2+26?');
INSERT INTO "texts" VALUES(X'E0077F2ED225BC1C44D7405E4F267330','What is the value of 19+11?');
INSERT INTO "texts" VALUES(X'0EF1DECAB51B81CED7F757F66660ECC6','What is the value of 29+15?');
INSERT INTO "texts" VALUES(X'508F0C8AA69BEE6451516456D4911CAB','The answer is 28.');
INSERT INTO "texts" VALUES(X'4E86077D99B75A136721660070CE77EE','What is the value of 2+26? The answer is 29. The answer is 28.');
INSERT INTO "texts" VALUES(X'C2E1658FBC45636012E9DC7E4FEFC0FB','The answer is 30.');
INSERT INTO "texts" VALUES(X'059A935788745B1B6AB82FE540A97B68','What is the value of 19+11? The answer is 30. The answer is 30.');
INSERT INTO "texts" VALUES(X'ECB364F73398001CA3155C3A03D1B242','The answer is 44.');
INSERT INTO "texts" VALUES(X'6663DB7667F68BE36B2E5ED7C5E6647F','What is the value of 29+15? The answer is 50. The answer is 44.');
INSERT INTO "texts" VALUES(X'9F53F1C945B1B9D16F5FACE9C46D16DF','The answer is 29.');
INSERT INTO "texts" VALUES(X'09862CF910165638A085C0D4F79A5975','What is the value of 2+26? The answer is 28. The answer is 28.');
INSERT INTO "texts" VALUES(X'E954FF48D8B0E3D88456E98ABB716DEF','The answer is 50.');
INSERT INTO "texts" VALUES(X'341C5AEB8FF8E49583F2D264EB6598D8','What is the value of 29+15? The answer is 44. The answer is 44.');
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
  finish_reason TEXT NOT NULL DEFAULT 'stop' CHECK (finish_reason IN ('stop', 'stop_text', 'length', 'context', 'filter', 'tools')),
  prompt_tokens INTEGER NOT NULL DEFAULT 0 CHECK (prompt_tokens >= 0 AND prompt_tokens <= 9007199254740991),
  generated_tokens INTEGER NOT NULL DEFAULT 0 CHECK (generated_tokens >= 0 AND generated_tokens <= 9007199254740991),
  cached_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0 AND cached_tokens <= 9007199254740991),
  seconds REAL NOT NULL DEFAULT 0.0 CHECK (seconds >= 0 AND seconds <= 1000000000000.0),
  thought_tokens INTEGER NOT NULL DEFAULT 0 CHECK (thought_tokens >= 0 AND thought_tokens <= 9007199254740991),
  estimated INTEGER NOT NULL DEFAULT 0 CHECK (estimated IN (0, 1)),
  logprob REAL CHECK (logprob >= -1e+300 AND logprob <= 0),
  confidence REAL CHECK (confidence >= 0 AND confidence <= 1),
  adapter TEXT,
  status TEXT NOT NULL DEFAULT 'ok' CHECK (status IN ('ok', 'failed')),
  error TEXT NOT NULL DEFAULT '',
  reads TEXT NOT NULL DEFAULT '[]',
  tokens BLOB CHECK (tokens IS NULL OR typeof(tokens) = 'blob' AND hex(substr(tokens, 1, 1)) IN ('02', '04') AND (length(tokens) - 1) % CAST(hex(substr(tokens, 1, 1)) AS INTEGER) = 0),
  replied INTEGER NOT NULL DEFAULT 1 CHECK (replied IN (0, 1)),
  thought TEXT NOT NULL DEFAULT '',
  reused INTEGER NOT NULL DEFAULT 0 CHECK (reused IN (0, 1)),
  PRIMARY KEY (iteration, item, sample, phase, round, agent)
) STRICT;
INSERT INTO "turns" VALUES(0,'2+26','debate',1,'solver-1',0,'aeeb6b050ae68a038b7f37ab88fdafca','[["user","2f8b4ae05906bb5e3bec6cd45334792a"]]','The answer is 29.','29','stop',6,4,0,1.42384000355377793312e-04,0,0,-2.5,0.5,NULL,'ok','','[]',X'0201000200',1,'',0);
INSERT INTO "turns" VALUES(0,'2+26','debate',1,'solver-2',0,'e6cbed97ac15b51bc543971bd08549a5','[["user","2f8b4ae05906bb5e3bec6cd45334792a"]]','The answer is 28.','28','stop',6,4,0,2.78419993264833465218e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'2+26','debate',1,'solver-3',0,'93fc09e0f436237d8d8dc2c14c86fcfb','[["user","2f8b4ae05906bb5e3bec6cd45334792a"]]','The answer is 28.','28','stop',6,4,0,1.79469989234348759055e-05,3,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'Two and 26.',0);
INSERT INTO "turns" VALUES(0,'19+11','debate',1,'solver-1',0,'2dcb5231364a6385dd050abf77814a1d','[["user","e0077f2ed225bc1c44d7405e4f267330"]]','The answer is 30.','30','stop',6,4,0,5.58339997951407e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'19+11','debate',1,'solver-2',0,'db57d6b0702e5703f5b335614cca7a9a','[["user","e0077f2ed225bc1c44d7405e4f267330"]]','The answer is 30.','30','stop',6,4,0,2.15729996853042393922e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'19+11','debate',1,'solver-3',0,'c8d6c7d0f670a209c4c515bedacded98','[["user","e0077f2ed225bc1c44d7405e4f267330"]]','The answer is 30.','30','stop',6,4,0,1.82780004251981154084e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'29+15','debate',1,'solver-1',0,'2c1565069db0a52138e4e4308635c4c9','[["user","0ef1decab51b81ced7f757f66660ecc6"]]','The answer is 50.','50','stop',6,4,0,5.67349998163990676403e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'29+15','debate',1,'solver-2',0,'7411a2ca1704d95565ceeff409263084','[["user","0ef1decab51b81ced7f757f66660ecc6"]]','The answer is 44.','44','stop',6,4,0,2.54179994954029098153e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'29+15','debate',1,'solver-3',0,'58a0ba31ea3d1e8238d2c0b582aeeccd','[["user","0ef1decab51b81ced7f757f66660ecc6"]]','The answer is 44.','44','stop',6,4,0,1.46720012708101421594e-05,0,0,NULL,NULL,NULL,'ok','','[]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'2+26','debate',2,'solver-3',0,'96cf515118d763ec7f1c54706c57aced','[["user","2f8b4ae05906bb5e3bec6cd45334792a"],["assistant","508f0c8aa69bee6451516456d4911cab"],["user","4e86077d99b75a136721660070ce77ee"]]','The answer is 29.','29','stop',24,4,0,6.09720009379088878631e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-1"],["debate",1,"solver-2"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'19+11','debate',2,'solver-3',0,'a098dbaef9f50d8272052ff51310d83c','[["user","e0077f2ed225bc1c44d7405e4f267330"],["assistant","c2e1658fbc45636012e9dc7e4fefc0fb"],["user","059a935788745b1b6ab82fe540a97b68"]]','The answer is 30.','30','stop',24,4,0,4.56990001111989840865e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-1"],["debate",1,"solver-2"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'29+15','debate',2,'solver-3',0,'c7b9a709ec42db1dc6b9787aaa0e3aa8','[["user","0ef1decab51b81ced7f757f66660ecc6"],["assistant","ecb364f73398001ca3155c3a03d1b242"],["user","6663db7667f68be36b2e5ed7c5e6647f"]]','The answer is 44.','44','stop',24,4,0,3.59639998350758105516e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-1"],["debate",1,"solver-2"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'2+26','debate',2,'solver-1',0,'426d099ed870cbe7993721c1a8d9e156','[["user","2f8b4ae05906bb5e3bec6cd45334792a"],["assistant","9f53f1c945b1b9d16f5face9c46d16df"],["user","09862cf910165638a085c0d4f79a5975"]]','The answer is 28.','28','stop',24,4,0,3.38009995175525546073e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-2"],["debate",1,"solver-3"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'2+26','debate',2,'solver-2',0,'99a7f1f239e0c1cb35b0936be275c0f5','[["user","2f8b4ae05906bb5e3bec6cd45334792a"],["assistant","508f0c8aa69bee6451516456d4911cab"],["user","4e86077d99b75a136721660070ce77ee"]]','The answer is 28.','28','stop',24,4,0,1.36199996632058173418e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-1"],["debate",1,"solver-3"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'19+11','debate',2,'solver-1',0,'3fbd9f71be424ffc037e016ddfe1c85f','[["user","e0077f2ed225bc1c44d7405e4f267330"],["assistant","c2e1658fbc45636012e9dc7e4fefc0fb"],["user","059a935788745b1b6ab82fe540a97b68"]]','The answer is 30.','30','stop',24,4,0,1.46519996633287519216e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-2"],["debate",1,"solver-3"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'19+11','debate',2,'solver-2',0,'69424585ea9230ec8a22b1b018b96c32','[["user","e0077f2ed225bc1c44d7405e4f267330"],["assistant","c2e1658fbc45636012e9dc7e4fefc0fb"],["user","059a935788745b1b6ab82fe540a97b68"]]','The answer is 30.','30','stop',24,4,0,1.35010013764258474111e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-1"],["debate",1,"solver-3"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'29+15','debate',2,'solver-1',0,'b96dc6ed296b3a94b1a28745d8ad6b1c','[["user","0ef1decab51b81ced7f757f66660ecc6"],["assistant","e954ff48d8b0e3d88456e98abb716def"],["user","341c5aeb8ff8e49583f2d264eb6598d8"]]','The answer is 50.','50','stop',24,4,0,4.65500015707220882177e-05,0,0,NULL,NULL,NULL,'ok','','[["debate",1,"solver-2"],["debate",1,"solver-3"]]',NULL,1,'',0);
INSERT INTO "turns" VALUES(0,'29+15','debate',2,'solver-2',0,'f5e12c9b093a754ecd83d36e88f1956e','[["user","0ef1decab51b81ced7f757f66660ecc6"],["assistant","ecb364f73398001ca3155c3a03d1b242"],["user","6663db7667f68be36b2e5ed7c5e6647f"]]','',NULL,'stop',24,4,0,1.73659991560271e-05,0,0,NULL,NULL,NULL,'failed','It broke.','[["debate",1,"solver-1"],["debate",1,"solver-3"]]',NULL,0,'',0);
CREATE INDEX turns_by_key ON turns (key);
COMMIT;
