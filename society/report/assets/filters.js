// Filters of the debates: by tag, agent, words, iteration, and disagreement between runs.

const LABELS = {
  disagreed: "disagreed",
  to_wrong: "right to wrong",
  to_right: "wrong to right",
  to_unread: "right to unreadable",
  to_read: "unreadable to right",
  unparsed: "unreadable answer",
  failed: "failed turn",
  undecided: "undecided",
  wrong: "wrong decision",
  pending: "in progress",
  runs: "runs disagree",
};
const AGENT_TAGS = new Set(["disagreed", "to_wrong", "to_right", "to_unread", "to_read", "unparsed", "failed"]);

const bit = (tag) => 1 << data.tags.indexOf(tag);
const debateKey = (row) => JSON.stringify([row.item, row.question, row.iteration, row.sample]);

// For each debate, its position in every run: {key: {run: position}}.
function pairRuns() {
  const places = new Map();
  data.runs.forEach((run, r) =>
    run.debates.forEach((row, i) => {
      const key = debateKey(row);
      if (!places.has(key)) places.set(key, {});
      places.get(key)[r] = i;
    }),
  );
  return places;
}

function runsDisagree(row) {
  const rows = Object.entries(pairs.get(debateKey(row))).map(([r, i]) => data.runs[r].debates[i]);
  return new Set(rows.map((one) => (row.scored && row.single ? one.correct : decisionText(one)))).size > 1;
}

function hasTag(row, tag, agent) {
  if (tag === "runs") return runsDisagree(row);
  const tags = agent && AGENT_TAGS.has(tag) ? row.by[agent] || 0 : row.tags;
  return (tags & bit(tag)) !== 0;
}

const spoke = (row, agent) => row.turns.some((turn) => turn.agent === agent);

// The searchable text of a debate. Replies are a part of it once they are read.
function searchText(run, position) {
  const known = run.searchTexts ?? (run.searchTexts = []);
  if (!known[position]) {
    const row = run.debates[position];
    known[position] = [row.item, row.question, row.gold, ...row.answers.map((a) => a[0])].join("\n").toLowerCase();
  }
  return known[position] + (run.replies?.[position] ?? "");
}

// Reads all replies of a run for the search, chunk by chunk. Calls `more` after every few chunks.
async function readReplies(runNumber, more) {
  const run = data.runs[runNumber];
  if (run.replies) return;
  run.replies = [];
  for (let i = 0; i * data.chunk < run.debates.length; i += 1) {
    const chunk = await source.chunk(runNumber, "replies", i);
    chunk.forEach((texts, j) => {
      run.replies[i * data.chunk + j] = `\n${texts.join("\n").toLowerCase()}`;
    });
    if (i % 8 === 7) more();
  }
  more();
}

// The chosen iteration as a number, or null for all iterations.
function iterationOf(run, choice) {
  if (choice === "all") return null;
  return choice === "last" ? run.debates.reduce((last, row) => Math.max(last, row.iteration), 0) : Number(choice);
}

function select(run, { tags, agent, words, iteration }) {
  const only = iterationOf(run, iteration);
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  run.debates.forEach((row, i) => {
    if (only !== null && row.iteration !== only) return;
    if (agent && !spoke(row, agent)) return;
    if (!tags.every((tag) => hasTag(row, tag, agent))) return;
    if (wanted.length && !wanted.every((word) => searchText(run, i).includes(word))) return;
    found.push(i);
  });
  return found;
}
