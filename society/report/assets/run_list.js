// The page that lists the runs in a folder: filters and sorts them, and links their pages.

const live = document.documentElement.dataset.mode === "live";
const source = live ? new LiveSource() : new FileSource();
const POLL = 2000;

let data = null;

const seconds = (value) => {
  if (value < 100) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return value < 6000 ? `${(value / 60).toFixed(0)} min` : `${(value / 3600).toFixed(1)} h`;
};
const date = (value) => (value ? new Date(value * 1000).toLocaleString("sv-SE").slice(0, 16) : "–");

// Shows a number of a run that could be read.
const ofRead = (show) => (run) => (run.scenario ? show(run) : "–");

// For each column: its title, the value to sort by, and what its cell shows.
const COLUMNS = {
  name: ["run", (run) => run.name.toLowerCase(), drawName],
  scenario: ["scenario", (run) => run.scenario, (run) => run.scenario || "–"],
  state: ["state", (run) => run.state, drawState],
  questions: ["questions", (run) => run.questions, ofRead((run) => grouped(run.questions))],
  result: ["right", (run) => run.accuracy ?? -1, drawResult],
  turns: ["turns", (run) => run.turns, ofRead(drawTurns)],
  tokens: ["tokens generated", (run) => run.tokens, ofRead((run) => grouped(run.tokens))],
  time: ["backend busy", (run) => run.seconds, ofRead((run) => seconds(run.seconds))],
  changed: ["last change", (run) => run.changed, (run) => date(run.changed)],
};
const TEXTS = new Set(["name", "scenario", "state"]);
const choice = { words: "", state: "", sort: "-changed" };

function drawName(run) {
  return run.href ? make("a", { href: run.href }, run.name) : run.name;
}

function drawState(run) {
  const parts = [make("span", { class: `chip state-${run.state.replace(" ", "-")}` }, run.state)];
  const why = [run.part, run.reason].filter(Boolean).join(". ");
  return why ? [...parts, make("small", why)] : parts;
}

function drawResult(run) {
  if (!isKnown(run.accuracy)) return run.questions ? "no accuracy" : "–";
  return [percent(run.accuracy), make("small", `${percent(run.low)} to ${percent(run.high)}`)];
}

function drawTurns(run) {
  return run.failed ? [grouped(run.turns), make("small", `${grouped(run.failed)} failed`)] : grouped(run.turns);
}

function chosen() {
  const words = choice.words.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (run) => `${run.name} ${run.scenario} ${run.state} ${run.reason}`.toLowerCase();
  const found = data.runs.filter(
    (run) => (!choice.state || run.state === choice.state) && words.every((word) => text(run).includes(word)),
  );
  const down = choice.sort.startsWith("-");
  const [, value] = COLUMNS[choice.sort.replace("-", "")];
  const order = (a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === other) return a.name < b.name ? -1 : 1;
    return one < other === down ? 1 : -1;
  };
  return found.toSorted(order);
}

function sortBy(name) {
  const first = TEXTS.has(name) ? name : `-${name}`;
  const second = TEXTS.has(name) ? `-${name}` : name;
  change({ sort: choice.sort === first ? second : first });
}

function drawHead() {
  const sorted = choice.sort.replace("-", "");
  const direction = choice.sort.startsWith("-") ? "descending" : "ascending";
  return Object.entries(COLUMNS).map(([name, [title]]) =>
    make(
      "th",
      {
        scope: "col",
        class: TEXTS.has(name) ? "" : "number",
        "aria-sort": name === sorted ? direction : "none",
      },
      make("button", { type: "button", "data-sort": name, onclick: () => sortBy(name) }, title),
    ),
  );
}

function drawRow(run) {
  return make(
    "tr",
    Object.entries(COLUMNS).map(([name, [title, , show]]) =>
      make("td", { class: TEXTS.has(name) ? "" : "number", "data-column": title }, make("div", show(run))),
    ),
  );
}

function showTable() {
  const rows = chosen();
  const focused = document.activeElement?.dataset?.sort;
  const table = make("table.runs", make("thead", make("tr", drawHead())), make("tbody", rows.map(drawRow)));
  const box = make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Runs" }, table);
  byId("table").replaceChildren(rows.length ? box : make("p.dim", "No run matches."));
  fitting.observe(box);
  if (focused) byId("table").querySelector(`[data-sort="${focused}"]`)?.focus();
  byId("count").textContent =
    rows.length === data.runs.length
      ? counted(rows.length, "folder")
      : `${grouped(rows.length)} of ${grouped(data.runs.length)}`;
}

function showPage() {
  byId("title").textContent = plainText(data.folder);
  const states = new Map();
  for (const run of data.runs) states.set(run.state, (states.get(run.state) ?? 0) + 1);
  const counts = [...states].map(([state, number]) => `${grouped(number)} ${state}`);
  if (data.left_out) counts.push(`${grouped(data.left_out)} further folders are left out`);
  byId("subtitle").textContent = counts.join(", ") || "The folder holds no run.";
  fillMenu(byId("state"), [["", "any state"], ...[...states.keys()].map((state) => [state, state])], choice.state);
  const sorts = Object.entries(COLUMNS).flatMap(([name, [title]]) =>
    TEXTS.has(name)
      ? [
          [name, `${title}, A to Z`],
          [`-${name}`, `${title}, Z to A`],
        ]
      : [
          [`-${name}`, `${title}, most first`],
          [name, `${title}, least first`],
        ],
  );
  fillMenu(byId("sort"), sorts, choice.sort);
  showTable();
}

// Changes filters or order, and writes them into the address.
function change(values) {
  Object.assign(choice, values);
  const parts = new URLSearchParams(Object.entries(choice).filter(([, value]) => value));
  history.replaceState(null, "", `#${parts}`);
  showPage();
}

function followAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  choice.words = parts.get("words") ?? "";
  choice.state = parts.get("state") ?? "";
  const sort = parts.get("sort") ?? "";
  choice.sort = Object.hasOwn(COLUMNS, sort.replace("-", "")) ? sort : "-changed";
  byId("search").value = choice.words;
  showPage();
}

async function follow() {
  byId("live").textContent = "live";
  await source.follow(byId("live"), POLL, (found) => {
    data = found;
    showPage();
    document.documentElement.dataset.ready = "yes";
  });
}

async function openPage() {
  byId("search").addEventListener(
    "input",
    debounce(() => change({ words: byId("search").value }), 120),
  );
  byId("state").addEventListener("change", () => change({ state: byId("state").value }));
  byId("sort").addEventListener("change", () => change({ sort: byId("sort").value }));
  window.addEventListener("popstate", followAddress);
  if (!live) data = await source.index();
  else data = { folder: "", runs: [], left_out: 0 };
  followAddress();
  if (live) await follow();
  document.documentElement.dataset.ready = "yes";
}

openPage().catch((error) =>
  byId("table").append(make("p", { role: "alert" }, `The page could not be drawn: ${error.message}`)),
);
