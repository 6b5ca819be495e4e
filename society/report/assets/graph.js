// Who reads whom, coloured by what each agent says: right answers green, each wrong answer in its own colour.

const MOST_LABELS = 24;
const GRAPH = 460;

// The class that colours an answer of a debate: right, unread, or the wrong one's number from 0 to 6.
function tone(row, answer) {
  if (answer < 0) return "unread";
  const [, group, right] = row.answers[answer];
  if (right) return "right";
  const wrong = [...new Set(row.answers.filter((a) => !a[2]).map((a) => a[1]))];
  return `wrong-${wrong.indexOf(group) % 7}`;
}

const sign = (row, answer) => (answer < 0 ? "?" : row.answers[answer][2] ? "✓" : "✗");

// What an agent's last turn until this stage is: its position, and whether it was spoken in this stage.
function standing(row, agent, stage) {
  let found = null;
  row.turns.forEach((turn, i) => {
    if (turn[1] === agent && turn[0] <= stage) found = { i, now: turn[0] === stage };
  });
  return found;
}

// The pairs that were read in a stage, with summaries traced back to whom they summarise.
function readings(row, stage) {
  const found = new Set();
  const trace = (reader, source) => {
    const agent = row.turns[source][1];
    if (agent.includes("/")) row.turns[source][6].forEach((inner) => trace(reader, inner));
    else if (agent !== reader) found.add(JSON.stringify([agent, reader]));
  };
  row.turns.filter((turn) => turn[0] === stage && !turn[1].includes("/")).forEach((turn) => turn[6].forEach((s) => trace(turn[1], s)));
  return found;
}

function arrow(from, to, radius, mutual) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const side = mutual ? 3.5 : 0;
  const start = [from[0] + ux * (radius + 2) - uy * side, from[1] + uy * (radius + 2) + ux * side];
  const end = [to[0] - ux * (radius + 4) - uy * side, to[1] - uy * (radius + 4) + ux * side];
  const head = [[-7, -3], [-7, 3]].map(([a, b]) => `${(end[0] + ux * a - uy * b).toFixed(1)} ${(end[1] + uy * a + ux * b).toFixed(1)}`);
  return `M${start.map((v) => v.toFixed(1)).join(" ")}L${end.map((v) => v.toFixed(1)).join(" ")}M${head[0]}L${end.map((v) => v.toFixed(1)).join(" ")}L${head[1]}`;
}

// Where agents stand, in pixels: how large they can be and where their names fit follows from how close they are.
function placeNodes(phase) {
  const names = Object.keys(phase.nodes);
  const spots = Object.values(phase.nodes);
  const [top, bottom] = [Math.min(...spots.map((p) => p[1])), Math.max(...spots.map((p) => p[1]))];
  const reach = names.length <= 6 ? 180 : 280;
  const room = 32;
  const at = (agent) => [GRAPH / 2 + (phase.nodes[agent][0] - 0.5) * reach, room + (phase.nodes[agent][1] - top) * reach];
  const closest = nearest(spots) * reach;
  const labels = closest >= 72 ? "below" : names.length <= MOST_LABELS ? "outside" : "none";
  const height = (bottom - top) * reach + 2 * room + (labels === "below" ? 18 : 0);
  return { names, at, labels, height, radius: Math.max(3, Math.min(15, closest * 0.36)), centre: [GRAPH / 2, height / 2] };
}

// The distance between the two nearest of these points; of many, only the first ones are looked at.
function nearest(spots) {
  let found = 1;
  spots.slice(0, 200).forEach((p, i) => spots.slice(i + 1, 200).forEach((q) => {
    found = Math.min(found, Math.hypot(p[0] - q[0], p[1] - q[1]));
  }));
  return found;
}

function drawGraph(run, row, stage) {
  const [name, round] = run.stages[stage];
  const phase = run.phases.find((found) => found.name === name);
  const places = placeNodes(phase);
  const read = readings(row, stage);
  const edges = new Map(phase.edges.map((edge) => [JSON.stringify(edge), edge]));
  read.forEach((key) => edges.set(key, JSON.parse(key)));
  const inside = [...edges].filter(([, [u, v]]) => u in phase.nodes && v in phase.nodes && u !== v);
  const lines = inside.map(([key, [u, v]]) => draw("path", {
    class: read.has(key) ? "edge read" : "edge",
    d: arrow(places.at(u), places.at(v), places.radius, edges.has(JSON.stringify([v, u]))),
  }));
  const said = places.names.map((agent) => describeNode(row, agent, stage)).join("; ");
  return draw("svg", { viewBox: `0 0 ${GRAPH} ${places.height.toFixed(0)}`, role: "img", class: "graph",
    "aria-label": `Who reads whom in ${name}, round ${round}. ${said}` },
  lines, places.names.map((agent) => drawNode(row, agent, stage, places)));
}

function describeNode(row, agent, stage) {
  const found = standing(row, agent, stage);
  if (!found) return `${agent}: nothing yet`;
  const answer = row.turns[found.i][2];
  return `${agent}: ${answer < 0 ? "no readable answer" : `${row.answers[answer][0]} ${row.answers[answer][2] ? "(right)" : "(wrong)"}`}`;
}

function drawNode(row, agent, stage, places) {
  const found = standing(row, agent, stage);
  const answer = found ? row.turns[found.i][2] : -1;
  const kind = found ? `${tone(row, answer)}${found.now ? "" : " before"}` : "silent";
  const [x, y] = places.at(agent);
  return draw("g", { class: `node ${kind}` },
    draw("title", {}, describeNode(row, agent, stage)),
    draw("circle", { cx: x, cy: y, r: places.radius }),
    found && places.radius >= 7 ? label(x, y + 4.5, sign(row, answer), { class: "mark", "text-anchor": "middle" }) : null,
    nameNode(row, agent, answer, places));
}

// Name and answer below the agent; where there is no room for both, the name alone, away from the middle.
function nameNode(row, agent, answer, { at, labels, radius, centre }) {
  const [x, y] = at(agent);
  if (labels === "none") return null;
  if (labels === "outside") {
    const angle = Math.atan2(y - centre[1], x - centre[0]);
    const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
    const anchor = Math.abs(dx) < 0.3 ? "middle" : dx > 0 ? "start" : "end";
    return label(x + dx * (radius + 5), y + dy * (radius + 9) + 4, shorten(agent, 14), { class: "name", "text-anchor": anchor });
  }
  return [
    label(x, y + radius + 14, shorten(agent, 16), { class: "name", "text-anchor": "middle" }),
    answer < 0 ? null : label(x, y + radius + 27, shorten(oneLine(row.answers[answer][0]), 16), { class: "said", "text-anchor": "middle" }),
  ];
}
