// Draws forests, charts and bars as SVG (descriptions: society/pictures/figures.py).

const WIDTH = 380;
const COLOURS = 6; // series-0 to series-5 in report.css

const known = (values) => values.filter(isKnown);

// Round numbers from at most `low` to at least `high`.
function roundTicks(low, high, most = 5, least = 0) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = Math.max(
    least,
    [1, 2, 5, 10].map((factor) => factor * power).find((found) => span / found <= most),
  );
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

// Ticks of an axis for these values: shares stay in [0, 1], all of it for a single one; numbers start at 0 or below.
function axisTicks({ unit, start: origin }, values, most = 5) {
  const numbers = known([...values, origin]);
  if (!numbers.length) return [0, 1];
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  if (unit === "share") {
    if (low === high) return roundTicks(0, 1, most);
    const room = Math.max(0.02, (high - low) * 0.08);
    return roundTicks(Math.max(0, low - room), Math.min(1, high + room), most);
  }
  if (unit === "whole") return roundTicks(low, high === low ? low + 1 : high, most, 1);
  return roundTicks(Math.min(0, low), high === low ? low + 1 : high, most);
}

const significant = (value) => (isKnown(value) ? grouped(Number(value.toPrecision(3))) : "–");
const formatter = ({ unit }) => (unit === "share" ? percent : significant);
const tickText = ({ unit }, value) => (unit === "share" ? percent(value, 0) : significant(value));

const scale = (ticks, from, to) => (value) =>
  from + ((value - ticks[0]) / (ticks.at(-1) - ticks[0] || 1)) * (to - from);

const label = (x, y, text, attributes = {}) => draw("text", { x, y, ...attributes }, text);
const segment = (x1, y1, x2, y2, name) => draw("line", { x1, y1, x2, y2, class: name });

const ruler = document.createElement("canvas").getContext("2d");

// The width of a text in a picture, at this font size.
function textWidth(text, size) {
  ruler.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

// A name that is cut to this width. The number of a round at its end stays.
function fitName(name, width, size = 12.5) {
  if (textWidth(name, size) <= width) return name;
  const number = /( \d+)?$/.exec(name)[0];
  const cut = (length) => `${name.slice(0, length)}…${number}`;
  let length = name.length - number.length - 1;
  while (length > 1 && textWidth(cut(length), size) > width) length -= 1;
  return cut(length);
}

// Every n-th of these ticks [position, text], at most 7, whose texts are apart and inside the picture.
function thinTicks(ticks) {
  const boxes = ticks.map(([place, text]) => {
    const half = textWidth(text, 11) / 2;
    return { at: Math.min(Math.max(place, half), WIDTH - half), half, text };
  });
  const apart = (one, i, kept) => i === 0 || one.at - one.half >= kept[i - 1].at + kept[i - 1].half + 6;
  const choices = [1, 2, 5, 10, 20, 50, 100, 1000].map((step) => boxes.filter((_, i) => i % step === 0));
  const found = choices.find((kept) => kept.length <= 7 && kept.every(apart)) || boxes.slice(0, 1);
  return found.map(({ at, text }) => [at, text]);
}

function picture(height, description, ...parts) {
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": description }, ...parts);
}

const bounds = ({ low, high }, format) => (isKnown(low) ? ` [${format(low)} to ${format(high)}]` : "");

function drawForest({ rows }) {
  const ticks = axisTicks(
    { unit: "share" },
    rows.flatMap((row) => [row.value, row.low, row.high]),
    4,
  );
  const [left, right, step] = [170, 312, 34];
  const bottom = rows.length * step + 6;
  const x = scale(ticks, left, right);
  const digits = ticks[1] - ticks[0] < 0.01 ? 1 : 0;
  const grid = ticks.map((tick) => [
    segment(x(tick), 2, x(tick), bottom, "grid"),
    label(x(tick), bottom + 15, percent(tick, digits), { class: "tick", "text-anchor": "middle" }),
  ]);
  const text = (row) => `${row.name} ${percent(row.value)}${bounds(row, percent)}`;
  const lines = rows.map((row, i) => {
    const y = i * step + step / 2 + 3;
    return draw(
      "g",
      { class: row.strong ? "strong" : "" },
      draw("title", row.n ? `${text(row)}, n = ${grouped(row.n)}` : text(row)),
      label(0, y + 4, fitName(row.name, 166), { class: "name" }),
      isKnown(row.low) ? segment(x(row.low), y, x(row.high), y, "interval") : null,
      draw("circle", {
        cx: x(row.value),
        cy: y,
        r: row.strong ? 5.5 : 4.5,
        class: isKnown(row.low) ? "dot" : "dot open",
      }),
      label(WIDTH, y + 4, percent(row.value), { class: "value", "text-anchor": "end" }),
    );
  });
  return picture(bottom + 22, rows.map(text).join("; "), grid, lines);
}

// A chart with its axes, its series and a legend. The unit of the values stands above the axis, except of shares.
function drawChart(chart) {
  const unit = chart.y.unit === "share" ? "" : chart.y.label;
  const area = { left: 44, right: WIDTH - 14, top: unit ? 20 : 8, bottom: 182 };
  const x = placeAcross(chart, area);
  const ticks = axisTicks(
    chart.y,
    chart.series.flatMap((series) => series.points.flatMap((p) => [p.y, p.low, p.high])),
  );
  const y = scale(ticks, area.bottom, area.top);
  const axes = [
    ticks.map((tick) => [
      segment(area.left, y(tick), area.right, y(tick), "grid"),
      label(area.left - 6, y(tick) + 4, tickText(chart.y, tick), { class: "tick", "text-anchor": "end" }),
    ]),
    x.ticks.map(([place, text]) => label(place, area.bottom + 18, text, { class: "tick", "text-anchor": "middle" })),
    unit ? label(0, 8, unit.replace("\n", " "), { class: "tick" }) : null,
    chart.x.label ? label(area.right, area.bottom + 34, chart.x.label, { class: "tick", "text-anchor": "end" }) : null,
  ];
  const described = chart.series.map((series, i) => {
    const colour = (series.colour ?? i) % COLOURS;
    const style = series.faint ? `faint ${series.line}` : `series-${colour}`;
    return { ...series, legend: series.legend || series.name, style };
  });
  const curves = described.map((series, i) => {
    const beside = x.single ? (i - (described.length - 1) / 2) * 18 : 0; // a single place: side by side
    return drawSeries(
      series,
      (place) => x.at(place) + beside,
      y,
      (point) => describePoint(chart, series, point),
    );
  });
  const text = described
    .filter((series) => !series.faint)
    .map((series) => `${series.name}: ${series.points.map((point) => describeValue(chart, point)).join(", ")}`);
  const height = area.bottom + (chart.x.label ? 40 : 26);
  const names = placeNames(described, x.at, y);
  return make("div", picture(height, text.join("; "), axes, curves.toReversed(), names), drawLegend(described));
}

// Positions along the x axis: by name, or by number. `ticks` are [position, text].
function placeAcross({ x: axis, series }, { left, right }) {
  const numbers = series.flatMap(({ points }) => points.map((point) => point.x));
  const { names } = axis;
  if (!names.length) {
    const ticks = axisTicks(axis, numbers);
    const at = scale(ticks, left + 12, right - 12);
    return { at, ticks: thinTicks(ticks.map((tick) => [at(tick), grouped(tick)])), single: new Set(numbers).size < 2 };
  }
  const single = names.length === 1;
  const at = single ? () => (left + right) / 2 : scale([0, names.length - 1], left + 12, right - 12);
  return { at, ticks: thinTicks(names.map((name, i) => [at(i), fitName(name, 100, 11)])), single };
}

function describeValue({ x, y }, point) {
  const place = point.name || (x.names.length ? x.names[point.x] : `${x.label} ${grouped(Math.round(point.x))}`);
  return `${place} ${formatter(y)(point.y)}`;
}

function describePoint(chart, series, point) {
  const cost = point.name ? `, ${chart.x.label}: ${grouped(Math.round(point.x))}` : "";
  return `${series.name}, ${describeValue(chart, point)}${bounds(point, formatter(chart.y))}${cost}`;
}

const pathOf = (places) => places.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");

// The path through these places: straight, in steps, or none.
function curveOf(kind, places) {
  if (kind === "none") return "";
  return pathOf(cornersOf(kind, places));
}

const cornersOf = (kind, places) =>
  kind === "step" ? places.flatMap((place, i) => (i ? [[place[0], places[i - 1][1]], place] : [place])) : places;

// A series: its intervals, its line, and a dot for each point, smaller where there are many.
function drawSeries(series, x, y, describe) {
  const { points } = series;
  const bounded = series.interval === "none" ? [] : points.filter((point) => isKnown(point.low));
  const high = bounded.map((point) => [x(point.x), y(point.high)]);
  const low = bounded.map((point) => [x(point.x), y(point.low)]);
  const intervals =
    series.interval === "band" && bounded.length > 1
      ? draw("path", { class: "band", d: `${pathOf([...high, ...low.toReversed()])}Z` })
      : high.map(([left, top], i) => segment(left, top, left, low[i][1], "interval"));
  const radius = points.length > 12 ? 2.2 : 3.5;
  const dots = points.map((point) =>
    draw("circle", { cx: x(point.x), cy: y(point.y), r: radius, class: "dot" }, draw("title", describe(point))),
  );
  const curve = curveOf(
    series.line,
    points.map((point) => [x(point.x), y(point.y)]),
  );
  return draw(
    "g",
    { class: series.style },
    intervals,
    draw("path", { class: "curve", d: curve }, draw("title", series.name)),
    series.faint ? null : dots,
  );
}

// Each text of the legend once; without a legend where there is one series only.
function drawLegend(series) {
  const entries = new Map(series.map(({ legend, style }) => [legend, style]));
  if (entries.size < 2) return null;
  return make(
    "ul.legend",
    [...entries].map(([text, style]) => make("li", { class: style }, text)),
  );
}

// Names beside their points, each where no earlier name and no point is and the fewest lines are, as near as possible.
function placeNames(series, x, y) {
  const points = series.flatMap((one) => one.points.filter((point) => point.name));
  const taken = points.map((point) => [x(point.x) - 6, y(point.y) - 6, 12, 12]);
  const lines = points.length ? series.flatMap((one) => linesOf(one, x, y)) : [];
  return points.map((point) => {
    const width = textWidth(point.name, 11);
    const boxOf = ([across, down]) => [x(point.x) + across, y(point.y) + down - 10, width, 13];
    const free = nameSpots(width).filter((found) => fits(boxOf(found), taken));
    const crossed = free.map((found) => lines.filter((line) => crosses(line, boxOf(found))).length);
    const spot = free[crossed.indexOf(Math.min(...crossed))];
    if (!spot) return null; // the title of the point has the name
    taken.push(boxOf(spot));
    return nameBeside(point.name, [x(point.x), y(point.y)], spot, width);
  });
}

// Offsets [across, down] of a name of this width from its point, the nearest first: right, left or centred.
function nameSpots(width) {
  const spots = Array.from({ length: 21 }, (_, i) => 4 + 6 * (i - 10)).flatMap((down) =>
    [9, -9 - width, -width / 2, 27, -27 - width].map((across) => [across, down]),
  );
  const distance = ([across, down]) => Math.hypot(gapOf(across, width), down - 4);
  return spots.toSorted((a, b) => distance(a) - distance(b));
}

// A name at this offset from its point, with a thin line to the point where it is far away.
function nameBeside(name, [left, top], [across, down], width) {
  const text = label(left + across, top + down, name, { class: "name small" });
  if (Math.hypot(gapOf(across, width), down - 4) < 20) return text;
  const end = Math.min(Math.max(left, left + across), left + across + width);
  return [segment(left, top, end, top + down + (down > 4 ? -10 : 3), "leader"), text];
}

// The distance from 0 to an interval of this start and width.
const gapOf = (start, width) => Math.max(0, start, -start - width);

// The segments [x1, y1, x2, y2] of a series: its line, and the bars of its intervals.
function linesOf(series, x, y) {
  const places = series.points.map((point) => [x(point.x), y(point.y)]);
  const bars = series.interval === "bar" ? series.points.filter((point) => isKnown(point.low)) : [];
  const corners = series.line === "none" ? [] : cornersOf(series.line, places);
  return [
    ...corners.slice(1).map((place, i) => corners[i].concat(place)),
    ...bars.map((point) => [x(point.x), y(point.low), x(point.x), y(point.high)]),
  ];
}

// Whether a segment passes through a box [left, top, width, height] (Liang and Barsky 1984).
function crosses([x1, y1, x2, y2], [left, top, width, height]) {
  let [from, to] = [0, 1];
  for (const [start, length, low, high] of [
    [x1, x2 - x1, left, left + width],
    [y1, y2 - y1, top, top + height],
  ]) {
    if (length === 0 && (start < low || start > high)) return false;
    if (length !== 0) {
      const ends = [(low - start) / length, (high - start) / length];
      from = Math.max(from, Math.min(...ends));
      to = Math.min(to, Math.max(...ends));
    }
  }
  return from <= to;
}

// Whether a box [left, top, width, height] is inside the picture and apart from the others.
function fits([left, top, width, height], taken) {
  const apart = ([a, b, c, d]) => left >= a + c || a >= left + width || top >= b + d || b >= top + height;
  return left > 40 && left + width < WIDTH && top > -4 && taken.every(apart);
}

// Bars from zero to the right, and to the left for negative values, with their sums at the ends.
function drawBars({ bars, axis }) {
  const sums = bars.map(({ parts }) =>
    [-1, 1].map((side) => parts.reduce((sum, part) => (part.value * side > 0 ? sum + part.value : sum), 0)),
  );
  const both = sums.some(([low]) => low < 0);
  const most = Math.max(...sums.flat().map(Math.abs), axis.unit === "share" ? 0.001 : 1);
  const [left, right, step] = [both ? 160 : 112, WIDTH - 46, 28];
  const zero = both ? (left + right) / 2 : left;
  const width = (value) => (Math.abs(value) / most) * (right - zero);
  const text = (value) => (axis.unit === "share" ? percent(Math.abs(value)) : grouped(value));
  const rows = bars.map((bar, i) => {
    const ends = { true: zero, false: zero };
    const segments = bar.parts
      .filter((part) => part.value || !both)
      .map((part) => {
        const negative = part.value < 0;
        const size = Math.max(width(part.value), 1);
        ends[negative] += negative ? -size : size;
        return draw(
          "rect",
          { x: negative ? ends.true : ends.false - size, y: i * step + 5, width: size, height: 17, class: part.tone },
          draw("title", `${bar.name}, ${part.name}: ${text(part.value)}`),
        );
      });
    return draw(
      "g.bar",
      label(0, i * step + 18, fitName(bar.name, 104), { class: "name" }),
      segments,
      label(ends.false + 8, i * step + 18, text(sums[i][1]), { class: "value" }),
      both ? label(ends.true - 8, i * step + 18, text(sums[i][0]), { class: "value", "text-anchor": "end" }) : null,
    );
  });
  const described = bars.map(
    (bar) => `${bar.name}: ${bar.parts.map((part) => `${part.name} ${text(part.value)}`).join(", ")}`,
  );
  const shown = bars.flatMap(({ parts }) => parts.filter((part) => part.value));
  const legend = drawLegend(both ? shown.map((part) => ({ legend: part.name, style: `tone ${part.tone}` })) : []);
  return make("div", picture(bars.length * step + 4, described.join("; "), rows), legend);
}
