// The page: shows the data, and responds to clicks, keys and the address.

const live = document.documentElement.dataset.mode === "live";
const source = live ? new LiveSource() : new FileSource();
const POLL = 1000;
const LISTED = /\/runs\/\d+\/$/; // the address of a run that is opened from the list of a folder

let data = null;
let pairs = new Map();
const drawn = new Map();
const state = { run: 0, tags: new Set(), agent: "", words: "", iteration: "last", reading: false };
const list = new DebateList(byId("list"), (position) => openDebate(state.run, position, 0, true));
const view = new DebateView(byId("debate"), () => {
  state.reading = true;
  remember();
});

function showRun() {
  const run = data.runs[state.run];
  byId("title").textContent = plainText(data.runs.length > 1 ? data.title : run.name);
  const several = data.runs.length > 1;
  byId("run-title").hidden = !several;
  byId("run-title").textContent = plainText(`Run ${run.name}`);
  const subtitle = byId(several ? "run-subtitle" : "subtitle");
  subtitle.replaceChildren(
    ...reveal(
      [
        `${counted(run.debates.length, "debate")} of ${counted(run.agents.length, "agent")}`,
        run.description,
        run.source,
      ]
        .filter(Boolean)
        .join(" · "),
    ),
  );
  showHeadline(run);
  redraw("findings", run.findings, drawFinding);
  redraw("figures", run.figures, drawFigure);
  listTerms();
  byId("facts").replaceChildren(
    make(
      "dl",
      [["scenario", run.scenario], ...run.facts].map(([name, text]) => make("div", make("dt", name), make("dd", text))),
    ),
  );
  showChoices(run);
  byId("all-runs").hidden = !live || !LISTED.test(location.pathname);
  byId("all-runs").href = "../../";
  byId("runs").hidden = data.runs.length < 2;
  byId("runs").replaceChildren(...(data.runs.length > MOST_TABS ? [drawRunMenu()] : drawRunTabs()));
  showTags();
  search();
}

const MOST_TABS = 12;

function drawRunMenu() {
  const menu = make("select", { "aria-label": "Run", onchange: () => switchRun(menu.selectedIndex) });
  const names = data.runs.map((run, i) => [String(i), run.name]);
  fillMenu(menu, names, String(state.run));
  return menu;
}

const drawRunTabs = () =>
  data.runs.map((other, i) =>
    make(
      "button",
      {
        type: "button",
        "aria-pressed": i === state.run,
        title: other.folder,
        onclick: () => switchRun(i),
      },
      other.name,
    ),
  );

// Draws values again only if they changed, so that a live page does not move while it is read.
function redraw(id, values, drawOne) {
  const text = JSON.stringify(values);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  byId(id).replaceChildren(...values.map(drawOne));
}

// Fills the menus of agents and iterations.
function showChoices(run) {
  const iterations = [...new Set(run.debates.map((row) => row.iteration))].toSorted((a, b) => a - b).map(String);
  if (!run.agents.includes(state.agent)) state.agent = "";
  if (!iterations.includes(state.iteration) && state.iteration !== "all") state.iteration = "last";
  fillMenu(byId("agent"), [["", "any agent"], ...run.agents.map((name) => [name, agentName(run, name)])], state.agent);
  const each = iterations.map((name) => [name, `iteration ${name}`]);
  fillMenu(byId("iteration"), [["last", "last iteration"], ["all", "all iterations"], ...each], state.iteration);
  byId("iteration").hidden = iterations.length < 2;
}

// The most important number of a run; of several runs, which one is better, and how sure that is.
function showHeadline(run) {
  const place = byId("headline");
  if (data.comparison) {
    const { answer, detail } = data.comparison.winner;
    place.className = "compared";
    place.replaceChildren(make("b", answer), make("span", explain(detail)));
    return;
  }
  place.replaceChildren(...(drawAccuracy(run) ?? drawAgreement(run)));
}

const ENOUGH = 20; // ended debates; before, the accuracy of a run in progress says nothing

function drawAccuracy(run) {
  const row = run.figures.find((figure) => figure.id === "accuracy")?.rows.find((found) => found.strong);
  if (!row) return null;
  if (run.progress.whole === false && row.n < ENOUGH) return [];
  return [
    make("b", percent(row.value)),
    make("span", explain(`${row.name}, 95% interval ${percent(row.low)} to ${percent(row.high)}`)),
    make("span", counted(row.n, "debate")),
  ];
}

// Without true answers: the only decision, or how far the agents agree.
function drawAgreement(run) {
  const decided = run.debates.filter((row) => !(row.tags & bit("pending")));
  if (decided.length === 1) {
    const [row] = decided;
    const backing = row.decision < 0 ? "no decision" : `decided by ${row.backing}`;
    return [make("b.words", shorten(oneLine(decisionText(row)), 80)), make("span", backing)];
  }
  const agree = run.figures.find((figure) => figure.id === "diversity")?.rows?.find((row) => row.name === "agree");
  if (!agree) return [];
  const text = `of the agents give the most frequent last answer, the mean of ${counted(decided.length, "debate")}`;
  return [make("b", percent(agree.value)), make("span", text)];
}

function showComparison() {
  byId("comparison").hidden = !data.comparison;
  if (!data.comparison) return;
  const { notes, figures } = data.comparison;
  byId("comparison").replaceChildren(...figures.map(drawFigure), notes.length ? make("p.note", notes.join(" ")) : "");
}

function showTags() {
  const run = data.runs[state.run];
  const offered = [...data.tags, ...(data.runs.length > 1 ? ["runs"] : [])];
  byId("tags").replaceChildren(
    ...offered
      .map((tag) => {
        const count = select(run, { ...state, tags: [tag], words: "" }).length;
        if (!count && !state.tags.has(tag)) return "";
        return make(
          "button",
          { type: "button", "data-tag": tag, "aria-pressed": state.tags.has(tag), onclick: () => toggleTag(tag) },
          LABELS[tag],
          make("small", grouped(count)),
        );
      })
      .filter(Boolean),
  );
}

function toggleTag(tag) {
  if (!state.tags.delete(tag)) state.tags.add(tag);
  showTags();
  refilter();
  remember(true);
}

// Lists the debates with this tag only, and scrolls to the list.
function filterBy(tag) {
  state.tags = new Set([tag]);
  state.reading = false;
  document.body.classList.remove("reading");
  showTags();
  refilter();
  remember(true);
  byId("debates").scrollIntoView();
  byId("list").focus({ preventScroll: true });
}

function refilter() {
  const run = data.runs[state.run];
  const shown = select(run, { ...state, tags: [...state.tags] });
  list.show(run, shown);
  const all = select(run, { tags: [], agent: "", words: "", iteration: state.iteration }).length;
  byId("count").textContent = shown.length === all ? grouped(all) : `${grouped(shown.length)} of ${grouped(all)}`;
}

// Lists the matches found so far, and more while the replies are read.
function search() {
  refilter();
  if (state.words) readReplies(state.run, () => state.words && refilter());
}

function chooseIteration(choice) {
  state.iteration = choice;
  byId("iteration").value = choice;
  showTags();
  refilter();
}

function chooseAgent(choice) {
  state.agent = choice;
  showTags();
  refilter();
}

function switchRun(runNumber) {
  const { row } = view;
  state.run = runNumber;
  showRun();
  const same = row && pairs.get(debateKey(row))?.[runNumber];
  if (isKnown(same)) openDebate(runNumber, same, view.round, true);
  else remember(true);
}

function openDebate(run, position, round, byUser = false) {
  if (position === undefined) return;
  if (run !== state.run) {
    state.run = run;
    showRun();
  }
  const { iteration } = data.runs[run].debates[position];
  if (![null, iteration].includes(iterationOf(data.runs[run], state.iteration))) chooseIteration(String(iteration));
  view.show(run, position, round);
  list.select(position);
  document.body.classList.add("reading");
  state.reading = true;
  remember(byUser);
}

function closeDebate() {
  document.body.classList.remove("reading");
  state.reading = false;
  remember(true);
  byId("list").focus();
}

// Opens the next or previous debate, and scrolls to the debates if they are not in view.
function stepBy(by) {
  openDebate(state.run, list.neighbour(by), 0);
  const { top } = byId("debates").getBoundingClientRect();
  if (Math.abs(top) > 40 || document.body.classList.contains("reading")) byId("debates").scrollIntoView();
}

const FILTERS = { tags: "", agent: "", words: "", iteration: "last" };

// Writes the open debate, its round and the filters into the address, so that it can be shared. A step back in the
// browser's history undoes an entry that was written `asStep`.
function remember(asStep = false) {
  const { row } = view;
  const parts = new URLSearchParams();
  if (row && state.reading) {
    parts.set("item", row.item);
    parts.set("round", view.round + 1);
  }
  if (data.runs.length > 1) parts.set("run", data.runs[state.run].name);
  if (row?.iteration && state.reading) parts.set("iteration", row.iteration);
  if (row?.sample && state.reading) parts.set("sample", row.sample);
  const filters = { ...state, tags: [...state.tags].join(" ") };
  for (const [name, usual] of Object.entries(FILTERS)) {
    if (filters[name] !== usual) parts.set(name === "iteration" ? "show" : name, filters[name]);
  }
  const address = `#${parts}`;
  if (address !== (location.hash || "#")) history[asStep ? "pushState" : "replaceState"](null, "", address);
}

// Sets run, filters and debate to those of the address.
function followAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const named = data.runs.findIndex((run) => run.name === parts.get("run"));
  const run = named < 0 ? state.run : named;
  const offered = new Set([...data.tags, "runs"]);
  state.tags = new Set((parts.get("tags") ?? "").split(" ").filter((tag) => offered.has(tag)));
  state.agent = parts.get("agent") ?? "";
  state.words = parts.get("words") ?? "";
  state.iteration = parts.get("show") ?? "last";
  state.run = run;
  byId("search").value = state.words;
  showRun();
  const filtered = Object.keys(FILTERS).some((name) => parts.has(name === "iteration" ? "show" : name));
  const opened = parts.has("item") && openNamed(parts, run);
  if (opened || filtered) byId("debates").scrollIntoView();
  if (opened) return;
  document.body.classList.remove("reading");
  state.reading = false;
  if (!view.row) openFirst();
}

// Opens the debate that the address names; returns whether the run has that debate.
function openNamed(parts, run) {
  const wanted = (row) =>
    row.item === parts.get("item") &&
    row.sample === Number(parts.get("sample") ?? 0) &&
    (!parts.has("iteration") || row.iteration === Number(parts.get("iteration")));
  const position = data.runs[run].debates.findIndex(wanted);
  if (position < 0) return false;
  openDebate(run, position, (Number(parts.get("round")) || 1) - 1);
  view.filled.then(() => view.scrollToRound());
  return true;
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

const KEYS = {
  j: () => stepBy(1),
  k: () => stepBy(-1),
  t: changeTheme,
  ArrowLeft: () => view.go(view.round - 1, true),
  ArrowRight: () => view.go(view.round + 1, true),
  "/": () => byId("search").focus(),
  "?": () => byId("help").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !data) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && typing) event.target.blur();
  if (event.key === "Escape") hideTip();
  const inList =
    event.target === byId("list") &&
    { ArrowDown: KEYS.j, ArrowUp: KEYS.k, Enter: () => byId("debate").focus() }[event.key];
  const action = inList || (!typing && !byId("help").open && KEYS[event.key]);
  if (!action) return;
  event.preventDefault();
  action();
}

function listen() {
  byId("search").addEventListener(
    "input",
    debounce(() => {
      state.words = byId("search").value;
      search();
      remember();
    }, 120),
  );
  byId("iteration").addEventListener("change", () => {
    chooseIteration(byId("iteration").value);
    remember(true);
  });
  byId("agent").addEventListener("change", () => {
    chooseAgent(byId("agent").value);
    remember(true);
  });
  byId("theme").addEventListener("click", changeTheme);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  document.addEventListener("keydown", onKey);
  window.addEventListener("popstate", followAddress);
}

// Takes the index as the page's data. Turns are arrays in the index, in the order of `found.turn`.
function setData(found) {
  data = found;
  const nameTurn = (values) => Object.fromEntries(found.turn.map((name, i) => [name, values[i]]));
  for (const row of found.runs.flatMap((run) => run.debates)) row.turns = row.turns.map(nameTurn);
  pairs = pairRuns();
  showComparison();
}

// Polls the server until it stops; keeps the open debate in place.
async function follow() {
  const badge = byId("live");
  badge.textContent = "reading the run …";
  await source.follow(badge, POLL, (found) => {
    const open = view.row && {
      key: debateKey(view.row),
      round: view.round,
      turns: view.row.turns.length,
      tags: view.row.tags,
    };
    setData(found);
    if (open) showRun();
    reopen(open);
    badge.textContent = found.runs[0].progress.text;
    document.documentElement.dataset.ready = "yes";
  });
}

function reopen(open) {
  if (!open) {
    followAddress();
    return;
  }
  const position = pairs.get(open.key)?.[state.run];
  if (position === undefined) return;
  const row = data.runs[state.run].debates[position];
  list.select(position);
  const { scrollTop } = byId("debate");
  if (row.turns.length !== open.turns || row.tags !== open.tags) view.show(state.run, position, open.round);
  else Object.assign(view, { position, row, run: data.runs[state.run] });
  byId("debate").scrollTop = scrollTop;
}

function openFirst() {
  if (list.shown.length && matchMedia("(min-width: 900px)").matches) {
    view.show(state.run, list.shown[0], 0);
    list.select(list.shown[0]);
  }
}

async function openPage() {
  listen();
  if (live) {
    await follow();
    return;
  }
  setData(await source.index());
  followAddress();
  document.documentElement.dataset.ready = "yes";
}

openPage().catch((error) =>
  byId("findings").append(make("p", { role: "alert" }, `The page could not be drawn: ${error.message}`)),
);
