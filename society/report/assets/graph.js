// Draws a phase's graph (society/pictures/graphs.py), coloured by the agents' answers: right answers are green, each
// other answer has a colour of its own.

const MAX_OUTSIDE_NAMES = 24;
const GRAPH = 460;
const MARGIN = 32;

// The class that colours an answer: right, unread, or wrong-0 to wrong-6.
function tone(row, answer) {
  if (answer < 0) return "unread";
  const [, group, right] = row.answers[answer];
  if (row.scored && right) return "right";
  const wrong = [...new Set(row.answers.filter((a) => !a[2]).map((a) => a[1]))];
  return `wrong-${wrong.indexOf(group) % 7}`;
}

function sign(row, answer) {
  if (answer < 0) return "?";
  if (!row.scored) return "";
  return row.answers[answer][2] ? "✓" : "✗";
}

// The agent's latest turn up to this stage: its position, and whether the turn belongs to this stage.
function latestTurn(row, agent, stage) {
  const i = row.turns.findLastIndex((turn) => turn.agent === agent && turn.stage <= stage);
  return i < 0 ? null : { i, now: row.turns[i].stage === stage };
}

const edgeKey = (source, target) => JSON.stringify([source, target]);

// The edges over which agents read each other in a stage. Summaries count for the agents that they summarise.
function readEdges(row, stage) {
  const found = new Set();
  const trace = (reader, turn) => {
    const { agent, reads } = row.turns[turn];
    if (agent.includes("/")) {
      for (const inner of reads) trace(reader, inner);
    } else if (agent !== reader) found.add(edgeKey(agent, reader));
  };
  for (const { stage: spoken, agent, reads } of row.turns) {
    if (spoken !== stage || agent.includes("/")) continue;
    for (const turn of reads) trace(agent, turn);
  }
  return found;
}

// All edges to draw, one for each direction: those of the phase, and others over which agents read each other.
function listEdges(phase, read) {
  const edges = new Map();
  for (const edge of phase.edges) {
    edges.set(edgeKey(edge.source, edge.target), edge);
    if (edge.mutual)
      edges.set(edgeKey(edge.target, edge.source), {
        ...edge,
        source: edge.target,
        target: edge.source,
        bend: -edge.bend,
      });
  }
  for (const key of read) {
    const [source, target] = JSON.parse(key);
    if (!edges.has(key)) edges.set(key, { source, target, show: "full", bend: 0 });
  }
  const names = new Set(phase.nodes.map((node) => node.name));
  return [...edges].filter(([, { source, target }]) => names.has(source) && names.has(target) && source !== target);
}

const pair = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;

// The path of an arrow, beside the opposite one if there is one. Bent arrows are quadratic curves, as in matplotlib.
function arrow(from, to, radius, opposite, bend) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const middle = [(from[0] + to[0]) / 2 - bend * dy, (from[1] + to[1]) / 2 + bend * dx];
  const side = opposite && !bend ? 3.5 : 0;
  const toward = (place, other, gap) => {
    const length = Math.hypot(other[0] - place[0], other[1] - place[1]) || 1;
    return [place[0] + ((other[0] - place[0]) / length) * gap, place[1] + ((other[1] - place[1]) / length) * gap];
  };
  const length = Math.hypot(dx, dy) || 1;
  const beside = ([x, y]) => [x - (dy / length) * side, y + (dx / length) * side];
  const [tail, tip] = [beside(toward(from, middle, radius + 2)), beside(toward(to, middle, radius + 4))];
  const control = beside(middle);
  const angle = Math.atan2(tip[1] - control[1], tip[0] - control[0]);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const head = [
    [-7, -3],
    [-7, 3],
  ].map(([a, b]) => [tip[0] + cos * a - sin * b, tip[1] + sin * a + cos * b]);
  return `M${pair(tail)}Q${pair(control)} ${pair(tip)}M${pair(head[0])}L${pair(tip)}L${pair(head[1])}`;
}

// The agents' positions in pixels. Their distance decides how large they are and where their names fit.
function placeNodes({ nodes }) {
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const [left, right] = range(nodes.map((node) => node.x));
  const [bottom, top] = range(nodes.map((node) => node.y));
  let reach = nodes.length <= 6 ? 180 : 280;
  if (top === bottom) reach = 380; // a row of agents
  const unit = reach / (Math.max(right - left, top - bottom) || 1);
  const at = new Map(
    nodes.map(({ name, x, y }) => [name, [GRAPH / 2 + (x - (left + right) / 2) * unit, MARGIN + (top - y) * unit]]),
  );
  const closest = Math.min(nearest(nodes) * unit, reach);
  let labels = nodes.length <= MAX_OUTSIDE_NAMES ? "outside" : "none";
  if (closest >= 72) labels = "below";
  const height = (top - bottom) * unit + 2 * MARGIN + (labels === "below" ? 18 : 0);
  return { at, labels, height, radius: Math.max(3, Math.min(15, closest * 0.36)), centre: [GRAPH / 2, height / 2] };
}

// The distance between the nearest two of the first 200 nodes.
function nearest(nodes) {
  let found = Infinity;
  nodes.slice(0, 200).forEach((p, i) => {
    for (const q of nodes.slice(i + 1, 200)) found = Math.min(found, Math.hypot(p.x - q.x, p.y - q.y));
  });
  return found;
}

// Whether agents read each other in any round of this phase.
const isDebate = (run, row, name) => run.stages.some(([phase], stage) => phase === name && readEdges(row, stage).size);

function drawGraph(run, row, stage) {
  const [name, round] = run.stages[stage];
  const phase = run.phases.find((found) => found.name === name);
  const places = placeNodes(phase);
  const read = readEdges(row, stage);
  const edges = isDebate(run, row, name) ? listEdges(phase, read) : [];
  const keys = new Set(edges.map(([key]) => key));
  const lines = edges.map(([key, { source, target, show, bend }]) => {
    const opposite = keys.has(edgeKey(target, source));
    return draw("path", {
      class: `edge ${show}${read.has(key) ? " read" : ""}`,
      d: arrow(places.at.get(source), places.at.get(target), places.radius, opposite, bend),
    });
  });
  const text = phase.nodes.map((node) => describeNode(run, row, node.name, stage)).join("; ");
  return draw(
    "svg",
    {
      viewBox: `0 0 ${GRAPH} ${places.height.toFixed(0)}`,
      role: "img",
      class: "graph",
      "aria-label": `Who reads whom in ${name}, round ${round}. ${text}`,
    },
    lines,
    phase.nodes.map((node) => drawNode(run, row, node.name, stage, places)),
  );
}

function describeNode(run, row, agent, stage) {
  const turn = latestTurn(row, agent, stage);
  const name = agentName(run, agent);
  if (!turn) return `${name}: no turn yet`;
  const answer = row.turns[turn.i].answer;
  if (answer < 0) return `${name}: no readable answer`;
  const verdict = row.answers[answer][2] ? " (right)" : " (wrong)";
  return `${name}: ${answerName(row, answer)}${row.scored ? verdict : ""}`;
}

function drawNode(run, row, agent, stage, places) {
  const turn = latestTurn(row, agent, stage);
  const answer = turn ? row.turns[turn.i].answer : -1;
  const style = turn ? `${tone(row, answer)}${turn.now ? "" : " before"}` : "silent";
  const [x, y] = places.at.get(agent);
  return draw(
    "g",
    { class: `node ${style}` },
    draw("title", describeNode(run, row, agent, stage)),
    draw("circle", { cx: x, cy: y, r: places.radius }),
    turn && places.radius >= 7
      ? label(x, y + 4.5, sign(row, answer), { class: "sign", "text-anchor": "middle" })
      : null,
    drawName(row, agent, answer, places),
  );
}

// Name and answer below the agent; where there is no room for both, the name alone, away from the middle.
function drawName(row, agent, answer, { at, labels, radius, centre }) {
  const [x, y] = at.get(agent);
  if (labels === "none") return null;
  if (labels === "outside") {
    const angle = Math.atan2(y - centre[1], x - centre[0]);
    const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
    let anchor = dx > 0 ? "start" : "end";
    if (Math.abs(dx) < 0.3) anchor = "middle";
    return label(x + dx * (radius + 5), y + dy * (radius + 9) + 4, shorten(agent, 14), {
      class: "name",
      "text-anchor": anchor,
    });
  }
  return [
    label(x, y + radius + 14, shorten(agent, 16), { class: "name", "text-anchor": "middle" }),
    answer < 0
      ? null
      : label(x, y + radius + 27, shorten(oneLine(answerName(row, answer)), 16), {
          class: "answer",
          "text-anchor": "middle",
        }),
  ];
}
