// Figures drawn from plain data, one function for each kind (see figures.py).

const WIDTH = 380;

// Round numbers that span low to high; shares stay in [0, 1].
function ticks(low, high, most = 5) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= most);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function shareTicks(values, most = 5) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return [0, 0.5, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const room = Math.max(0.02, (high - low) * 0.08);
  return ticks(Math.max(0, low - room), Math.min(1, high + room), most);
}

// For values of another unit than shares: as wide as they are.
function valueTicks(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(0, ...known), Math.max(...known)];
  return ticks(low, high === low ? low + 1 : high);
}

const plain = (value) => (value === null || value === undefined ? "–" : grouped(Number(value.toPrecision(3))));

const scale = (marks, start, end) => (value) =>
  start + ((value - marks[0]) / (marks[marks.length - 1] - marks[0] || 1)) * (end - start);

const label = (x, y, text, attributes = {}) => draw("text", { x, y, ...attributes }, text);

function picture(height, description, ...parts) {
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": description }, ...parts);
}

const interval = (row) => (row.low === null || row.low === undefined ? "" : ` [${percent(row.low)} to ${percent(row.high)}]`);

function drawForest({ rows }) {
  const marks = shareTicks(rows.flatMap((row) => [row.value, row.low, row.high]), 4);
  const [left, right, step] = [170, 312, 34];
  const bottom = rows.length * step + 6;
  const x = scale(marks, left, right);
  const grid = marks.map((mark) => [
    draw("line", { x1: x(mark), x2: x(mark), y1: 2, y2: bottom, class: "grid" }),
    label(x(mark), bottom + 15, percent(mark, marks[1] - marks[0] < 0.01 ? 1 : 0), { class: "tick", "text-anchor": "middle" }),
  ]);
  const lines = rows.map((row, i) => {
    const y = i * step + step / 2 + 3;
    const bounds = row.low === null ? null : draw("line", { x1: x(row.low), x2: x(row.high), y1: y, y2: y, class: "whisker" });
    return draw("g", { class: row.strong ? "strong" : "" },
      draw("title", {}, `${row.name}: ${percent(row.value)}${interval(row)}${row.n ? `, n = ${grouped(row.n)}` : ""}`),
      label(0, y + 4, shorten(row.name, 27), { class: "name" }), bounds,
      draw("circle", { cx: x(row.value), cy: y, r: row.strong ? 5.5 : 4.5, class: row.low === null ? "dot open" : "dot" }),
      label(WIDTH, y + 4, percent(row.value), { class: "value", "text-anchor": "end" }));
  });
  const said = rows.map((row) => `${row.name} ${percent(row.value)}${interval(row)}`).join("; ");
  return picture(bottom + 22, said, grid, lines);
}

// With a `unit`, values of it; otherwise shares. `axis` names what goes across.
function drawLine({ x: names, series, unit, axis: across }) {
  const [left, right, top, bottom] = [44, WIDTH - 14, unit ? 20 : 8, 178];
  const tell = unit ? plain : percent;
  const marks = (unit ? valueTicks : shareTicks)(series.flatMap((s) => s.points.flatMap((p) => (p ? (s.band ? p : [p[0]]) : []))));
  const y = scale(marks, bottom, top);
  const x = (i) => (names.length === 1 ? (left + right) / 2 : left + 12 + (i / (names.length - 1)) * (right - left - 24));
  const every = [1, 2, 5, 10, 20, 50, 100, 1000].find((n) => names.length / n <= 6);
  const axis = [
    marks.map((mark) => [
      draw("line", { x1: left, x2: right, y1: y(mark), y2: y(mark), class: "grid" }),
      label(left - 6, y(mark) + 4, unit ? plain(mark) : percent(mark, 0), { class: "tick", "text-anchor": "end" }),
    ]),
    unit ? label(0, 8, unit, { class: "tick" }) : null,
    across ? label(right, bottom + 34, across, { class: "tick", "text-anchor": "end" }) : null,
    names.map((name, i) => (i % every ? null : label(x(i), bottom + 18, shorten(name, 14), { class: "tick", "text-anchor": "middle" }))),
  ];
  const curves = [...series.keys()].reverse().map((s) => {
    const beside = names.length === 1 ? (s - (series.length - 1) / 2) * 18 : 0; // a single place: side by side
    return drawCurve(series[s], s, (i) => x(i) + beside, y, (i) => names[i], tell);
  });
  const said = series.filter((s) => !s.faint).map((s) =>
    `${s.name}: ${s.points.map((p, i) => `${names[i]} ${tell(p?.[0])}`).join(", ")}`).join("; ");
  const legend = make("ul", { class: "legend" }, series.map((s, i) => (s.faint ? null : make("li", { class: `series-${i}` }, s.name))));
  return make("div", {}, picture(bottom + (across ? 40 : 26), said, axis, curves), legend);
}

// One curve; a band around it where there are several points, else a whisker, and small dots where there are many.
function drawCurve(series, number, x, y, name, tell) {
  const points = series.points.map((p, i) => (p ? { x: x(i), y: y(p[0]), p, i } : null)).filter(Boolean);
  const bounded = points.filter(({ p }) => p[1] !== null);
  const path = (list) => list.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
  const band = series.band && bounded.length > 1 ? draw("path", {
    class: "band",
    d: `${path([...bounded.map(({ x: a, p }) => [a, y(p[2])]), ...bounded.map(({ x: a, p }) => [a, y(p[1])]).reverse()])}Z`,
  }) : null;
  const bounds = (p) => (p[1] === null ? "" : ` [${tell(p[1])} to ${tell(p[2])}]`);
  const whisker = series.band && bounded.length === 1 ? bounded.map(({ x: a, p }) =>
    draw("line", { x1: a, x2: a, y1: y(p[1]), y2: y(p[2]), class: "whisker" })) : null;
  return draw("g", { class: series.faint ? "faint" : `series-${number}` }, band, whisker,
    draw("path", { class: "curve", d: path(points.map((point) => [point.x, point.y])) }),
    series.faint ? null : points.map((point) => draw("circle", { cx: point.x, cy: point.y, r: points.length > 12 ? 2.2 : 3.5, class: "dot" },
      draw("title", {}, `${series.name}, ${name(point.i)}: ${tell(point.p[0])}${bounds(point.p)}`))),
    series.faint ? draw("title", {}, series.name) : null);
}

function drawScatter({ points, x: title }) {
  const [left, right, top, bottom] = [44, WIDTH - 14, 10, 190];
  const across = ticks(0, Math.max(...points.map((p) => p.x)) * 1.04, 5);
  const marks = shareTicks(points.flatMap((p) => [p.y, p.low, p.high]));
  const [x, y] = [scale(across, left, right), scale(marks, bottom, top)];
  const axis = [
    marks.map((mark) => [
      draw("line", { x1: left, x2: right, y1: y(mark), y2: y(mark), class: "grid" }),
      label(left - 6, y(mark) + 4, percent(mark, 0), { class: "tick", "text-anchor": "end" }),
    ]),
    across.map((mark) => label(x(mark), bottom + 17, grouped(mark), { class: "tick", "text-anchor": "middle" })),
    label(right, bottom + 34, title, { class: "tick", "text-anchor": "end" }),
  ];
  const best = points.filter((p) => p.front).sort((a, b) => a.x - b.x);
  const line = best.map((p, i) => (i ? `H${x(p.x)}V${y(p.y)}` : `M${x(p.x)} ${y(p.y)}`)).join("");
  const said = points.map((p) => `${p.name}: ${percent(p.y)} for ${grouped(Math.round(p.x))} tokens`).join("; ");
  return picture(bottom + 40, said, axis, draw("path", { d: line, class: "front" }), placeNames(points, x, y));
}

// Points with their names, each name where no earlier one stands.
function placeNames(points, x, y) {
  const taken = points.map((p) => [x(p.x) - 6, y(p.y) - 6, 12, 12]);
  return points.map((p) => {
    const width = p.name.length * 5.9;
    const spots = [[9, 4], [-9 - width, 4], [9, -9], [-9 - width, -9], [9, 16], [-9 - width, 16], [9, 28], [-9 - width, 28]];
    const free = ([dx, dy]) => {
      const box = [x(p.x) + dx, y(p.y) + dy - 10, width, 13];
      const inside = box[0] > 40 && box[0] + width < WIDTH && box[1] > -4;
      return inside && !taken.some((t) => box[0] < t[0] + t[2] && t[0] < box[0] + box[2] && box[1] < t[1] + t[3] && t[1] < box[1] + box[3]);
    };
    const spot = spots.find(free);
    if (spot) taken.push([x(p.x) + spot[0], y(p.y) + spot[1] - 10, width, 13]);
    return draw("g", { class: `point ${p.method}${p.front ? " best" : ""}` },
      draw("title", {}, `${p.name}: ${percent(p.y)}${interval(p)} for ${grouped(Math.round(p.x))} tokens`),
      p.low === null ? null : draw("line", { x1: x(p.x), x2: x(p.x), y1: y(p.low), y2: y(p.high), class: "whisker" }),
      draw("circle", { cx: x(p.x), cy: y(p.y), r: 4.5, class: p.front ? "dot" : "dot open" }),
      spot ? label(x(p.x) + spot[0], y(p.y) + spot[1], p.name, { class: "name small" }) : null);
  });
}

function drawBars({ bars }) {
  const most = Math.max(1, ...bars.map((bar) => bar.value));
  const [left, right, step] = [112, WIDTH - 46, 28];
  const rows = bars.map((bar, i) => {
    const width = (bar.value / most) * (right - left);
    return draw("g", { class: bar.faint ? "bar faint" : "bar" },
      label(0, i * step + 18, shorten(bar.name, 18), { class: "name" }),
      draw("rect", { x: left, y: i * step + 5, width: Math.max(width, 1), height: 17, rx: 3 }),
      label(left + width + 8, i * step + 18, grouped(bar.value), { class: "value" }));
  });
  return picture(bars.length * step + 4, bars.map((bar) => `${bar.name}: ${bar.value}`).join("; "), rows);
}
