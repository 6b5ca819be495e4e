BEGIN TRANSACTION;
CREATE TABLE adapters (
  iteration INTEGER NOT NULL, learner TEXT NOT NULL, agent TEXT NOT NULL,  -- agent "*": shared by all
  hash TEXT, path TEXT NOT NULL, base TEXT NOT NULL,  -- path: within the run's folder
  examples INTEGER NOT NULL, left_out TEXT NOT NULL, losses TEXT NOT NULL,
  tokens INTEGER NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (iteration, learner, agent)
) WITHOUT ROWID;
CREATE TABLE examples (
  iteration INTEGER NOT NULL, learner TEXT NOT NULL, agent TEXT NOT NULL, number INTEGER NOT NULL,
  item TEXT NOT NULL, sample INTEGER NOT NULL, phase TEXT NOT NULL, round INTEGER NOT NULL, speaker TEXT NOT NULL,
  rule TEXT NOT NULL,
  PRIMARY KEY (iteration, learner, agent, number)
) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('files','{}');
INSERT INTO "meta" VALUES('fingerprint','2d14e544a1ae358d37b48aaf2c40a3f9');
INSERT INTO "meta" VALUES('models','{"scripted": "54469bd9e7e54e1fd3902b3ea35c17e36cafb23b2ddf1010f8e988f9757acd25"}');
INSERT INTO "meta" VALUES('scenario','{"version":1,"name":"sums","task":{"limit":3,"kind":"arithmetic","form":"a+b"},"backends":{"scripted":{"kind":"scripted","rules":[{"calculate":{"skill":0.6,"wrong":"spread"}}]}},"roles":{"solver":{"prompt":"{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}},"agents":{"solver":{"count":3}},"phases":[{"name":"debate","topology":{"kind":"complete"},"rounds":2}]}');
INSERT INTO "meta" VALUES('store_version','1');
INSERT INTO "meta" VALUES('versions','{"society": "0.1.0", "python": "3.11.7", "llama-cpp-python": "0.3.36", "torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.2", "networkx": "3.6.1", "pydantic": "2.14.3", "math-verify": "0.9.0"}');
CREATE TABLE results (
  iteration INTEGER NOT NULL, item TEXT NOT NULL, sample INTEGER NOT NULL,
  split TEXT NOT NULL,             -- evaluation or training
  question TEXT NOT NULL, gold TEXT NOT NULL,
  answer TEXT, support REAL NOT NULL, reason TEXT NOT NULL, tied TEXT NOT NULL,
  correct INTEGER NOT NULL,
  verdicts TEXT NOT NULL,          -- of each distinct answer in the debate: is it right?
  PRIMARY KEY (iteration, item, sample)
);
INSERT INTO "results" VALUES(0,'2+26',0,'evaluation','What is the value of 2+26?','28','28',6.66666666666666629659e-01,'','[]',1,'{"28": true, "29": false}');
INSERT INTO "results" VALUES(0,'19+11',0,'evaluation','What is the value of 19+11?','30','30',1.0,'','[]',1,'{"30": true}');
INSERT INTO "results" VALUES(0,'29+15',0,'evaluation','What is the value of 29+15?','44',NULL,3.33333333333333314829e-01,'tie','["50", "47", "44"]',0,'{"44": true, "47": false, "50": false}');
CREATE TABLE texts (key BLOB PRIMARY KEY, text TEXT NOT NULL);
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
INSERT INTO "turns" VALUES(0,'2+26',0,'debate',1,'solver-1','44f2617dd3790fca52fe6e9c21bc514e','ok','','[["user","2f8b4ae05906bb5e3bec6cd45334792a"]]','The answer is 29.','29','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'2+26',0,'debate',1,'solver-2','d1e979e2206ce7875f818fba04d7497f','ok','','[["user","2f8b4ae05906bb5e3bec6cd45334792a"]]','The answer is 28.','28','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'2+26',0,'debate',1,'solver-3','0e1cf451ce2283a82ed171b3858878a2','ok','','[["user","2f8b4ae05906bb5e3bec6cd45334792a"]]','The answer is 28.','28','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'19+11',0,'debate',1,'solver-1','a0df1983f0744171669ce8501991cd09','ok','','[["user","e0077f2ed225bc1c44d7405e4f267330"]]','The answer is 30.','30','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'19+11',0,'debate',1,'solver-2','86f01faf470286a7ba5a8439530e4abe','ok','','[["user","e0077f2ed225bc1c44d7405e4f267330"]]','The answer is 30.','30','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'19+11',0,'debate',1,'solver-3','16ce8f32b8aa882bfb4df983bb80886a','ok','','[["user","e0077f2ed225bc1c44d7405e4f267330"]]','The answer is 30.','30','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'29+15',0,'debate',1,'solver-1','f7046f0cd9a4aae100deb4fc206db297','ok','','[["user","0ef1decab51b81ced7f757f66660ecc6"]]','The answer is 50.','50','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'29+15',0,'debate',1,'solver-2','96836fd56644d467c42e49b7c4ece6f0','ok','','[["user","0ef1decab51b81ced7f757f66660ecc6"]]','The answer is 44.','44','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'29+15',0,'debate',1,'solver-3','52af432269d252a6429fd5067be9d6cd','ok','','[["user","0ef1decab51b81ced7f757f66660ecc6"]]','The answer is 44.','44','stop',NULL,NULL,NULL,6,4,0,0.0,'[]',0);
INSERT INTO "turns" VALUES(0,'2+26',0,'debate',2,'solver-3','1026c5f1553cda42c0f7071c224cbbc3','ok','','[["user","2f8b4ae05906bb5e3bec6cd45334792a"],["assistant","508f0c8aa69bee6451516456d4911cab"],["user","4e86077d99b75a136721660070ce77ee"]]','The answer is 29.','29','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-1"],["debate",1,"solver-2"]]',0);
INSERT INTO "turns" VALUES(0,'19+11',0,'debate',2,'solver-3','5a36bbf4d45016a7e90337b2ed098b37','ok','','[["user","e0077f2ed225bc1c44d7405e4f267330"],["assistant","c2e1658fbc45636012e9dc7e4fefc0fb"],["user","059a935788745b1b6ab82fe540a97b68"]]','The answer is 30.','30','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-1"],["debate",1,"solver-2"]]',0);
INSERT INTO "turns" VALUES(0,'29+15',0,'debate',2,'solver-3','83102035efa12c2cfd944ce2a53cda9b','ok','','[["user","0ef1decab51b81ced7f757f66660ecc6"],["assistant","ecb364f73398001ca3155c3a03d1b242"],["user","6663db7667f68be36b2e5ed7c5e6647f"]]','The answer is 44.','44','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-1"],["debate",1,"solver-2"]]',0);
INSERT INTO "turns" VALUES(0,'2+26',0,'debate',2,'solver-1','699a1e85459805cfe61cab13c492a4c2','ok','','[["user","2f8b4ae05906bb5e3bec6cd45334792a"],["assistant","9f53f1c945b1b9d16f5face9c46d16df"],["user","09862cf910165638a085c0d4f79a5975"]]','The answer is 28.','28','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-2"],["debate",1,"solver-3"]]',0);
INSERT INTO "turns" VALUES(0,'2+26',0,'debate',2,'solver-2','3a0c68c9d013003857724bfe82b01ca0','ok','','[["user","2f8b4ae05906bb5e3bec6cd45334792a"],["assistant","508f0c8aa69bee6451516456d4911cab"],["user","4e86077d99b75a136721660070ce77ee"]]','The answer is 28.','28','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-1"],["debate",1,"solver-3"]]',0);
INSERT INTO "turns" VALUES(0,'19+11',0,'debate',2,'solver-1','0a38cc6aca69933ea7a8f634d88de52c','ok','','[["user","e0077f2ed225bc1c44d7405e4f267330"],["assistant","c2e1658fbc45636012e9dc7e4fefc0fb"],["user","059a935788745b1b6ab82fe540a97b68"]]','The answer is 30.','30','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-2"],["debate",1,"solver-3"]]',0);
INSERT INTO "turns" VALUES(0,'19+11',0,'debate',2,'solver-2','3bc1b1dcd01e6fd53fb58b12838a1d18','ok','','[["user","e0077f2ed225bc1c44d7405e4f267330"],["assistant","c2e1658fbc45636012e9dc7e4fefc0fb"],["user","059a935788745b1b6ab82fe540a97b68"]]','The answer is 30.','30','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-1"],["debate",1,"solver-3"]]',0);
INSERT INTO "turns" VALUES(0,'29+15',0,'debate',2,'solver-1','4950bd6d3ab9718ddae96babcbc0505f','ok','','[["user","0ef1decab51b81ced7f757f66660ecc6"],["assistant","e954ff48d8b0e3d88456e98abb716def"],["user","341c5aeb8ff8e49583f2d264eb6598d8"]]','The answer is 50.','50','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-2"],["debate",1,"solver-3"]]',0);
INSERT INTO "turns" VALUES(0,'29+15',0,'debate',2,'solver-2','1dbed1a826e2cac9c98b96555f0711a8','ok','','[["user","0ef1decab51b81ced7f757f66660ecc6"],["assistant","ecb364f73398001ca3155c3a03d1b242"],["user","6663db7667f68be36b2e5ed7c5e6647f"]]','The answer is 47.','47','stop',NULL,NULL,NULL,24,4,0,0.0,'[["debate",1,"solver-1"],["debate",1,"solver-3"]]',0);
CREATE INDEX turns_by_key ON turns (key);
COMMIT;
