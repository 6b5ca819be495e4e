// Which debates are listed: by tag, by agent, by words in them, and by whether runs disagree.

const LABELS = {
  disagreed: "disagreed", to_wrong: "flipped to wrong", to_right: "flipped to right", to_unread: "right, then unreadable",
  to_read: "unreadable, then right", unparsed: "unreadable answer", failed: "failed turn", undecided: "undecided", wrong: "decided wrongly", pending: "under way", runs: "runs disagree",
};
const OF_AGENTS = ["disagreed", "to_wrong", "to_right", "to_unread", "to_read", "unparsed", "failed"];

const bit = (tag) => 1 << data.tags.indexOf(tag);
const debateKey = (row) => JSON.stringify([row.item, row.question, row.iteration, row.sample]);

// For each debate, its position in every run: {key: {run: position}}.
function pairRuns() {
  const places = new Map();
  data.runs.forEach((run, r) => run.debates.forEach((row, i) => {
    const key = debateKey(row);
    if (!places.has(key)) places.set(key, {});
    places.get(key)[r] = i;
  }));
  return places;
}

function runsDisagree(row) {
  const verdicts = Object.entries(pairs.get(debateKey(row))).map(([r, i]) => data.runs[r].debates[i].correct);
  return new Set(verdicts).size > 1;
}

function hasTag(row, tag, agent) {
  if (tag === "runs") return runsDisagree(row);
  const tags = agent && OF_AGENTS.includes(tag) ? row.by[agent] || 0 : row.tags;
  return (tags & bit(tag)) !== 0;
}

const spoke = (row, agent) => row.turns.some((turn) => turn[1] === agent);

// What can be searched of a debate: all of it, once its replies are read.
function haystack(run, position) {
  const known = run.haystacks ?? (run.haystacks = []);
  if (!known[position]) {
    const row = run.debates[position];
    known[position] = [row.item, row.question, row.gold, ...row.answers.map((a) => a[0])].join("\n").toLowerCase();
  }
  return known[position] + (run.replies?.[position] ?? "");
}

// Reads every reply of a run, chunk by chunk, so that search finds them; calls `more` as they come.
async function readReplies(number, more) {
  const run = data.runs[number];
  if (run.replies) return;
  run.replies = [];
  for (let i = 0; i * data.chunk < run.debates.length; i += 1) {
    const chunk = await source.chunk(number, "replies", i);
    chunk.forEach((texts, j) => { run.replies[i * data.chunk + j] = `\n${texts.join("\n").toLowerCase()}`; });
    if (i % 8 === 7) more();
  }
  more();
}

// The iteration that a choice means: a number, or null for all of them.
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
    if (wanted.length && !wanted.every((word) => haystack(run, i).includes(word))) return;
    found.push(i);
  });
  return found;
}
