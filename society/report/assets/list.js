// The list of debates. Only the visible rows exist, so that thousands of debates scroll smoothly.

const ROW = 62;
const BORDERS = 2;
const MAX_DOTS = 24;

class DebateList {
  constructor(element, onSelect) {
    this.element = element;
    this.onSelect = onSelect;
    this.spacer = make("div", { class: "spacer", role: "presentation" });
    this.rows = new Map();
    this.shown = [];
    this.selected = -1;
    element.append(this.spacer);
    element.addEventListener("scroll", () => this.paint(), { passive: true });
    new ResizeObserver(() => this.paint()).observe(element);
  }

  show(run, shown) {
    this.run = run;
    this.shown = shown;
    const height = Math.max(shown.length, 1) * ROW;
    this.spacer.style.height = `${height}px`;
    this.element.style.height = `${height + BORDERS}px`;
    this.rows.forEach((row) => row.remove());
    this.rows.clear();
    this.element.classList.toggle("empty", shown.length === 0);
    this.paint();
  }

  paint() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 4);
    const last = Math.min(this.shown.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + 4);
    for (const [i, row] of this.rows) {
      if (i < first || i >= last) {
        row.remove();
        this.rows.delete(i);
      }
    }
    for (let i = first; i < last; i += 1) {
      if (!this.rows.has(i)) {
        const row = this.build(i);
        this.rows.set(i, row);
        this.spacer.append(row);
      }
    }
  }

  build(i) {
    const row = this.run.debates[this.shown[i]];
    const decision = make("span.decision", shorten(oneLine(decisionText(row)), 60));
    const element = make(
      "div",
      {
        class: "row",
        role: "option",
        id: `row-${this.shown[i]}`,
        "aria-posinset": i + 1,
        "aria-setsize": this.shown.length,
        "aria-selected": this.shown[i] === this.selected,
        onclick: () => this.onSelect(this.shown[i]),
      },
      make(
        "span",
        { class: `verdict ${ending(row)}`, role: "img", "aria-label": ENDINGS[ending(row)] },
        SIGNS[ending(row)],
      ),
      make(
        "span.what",
        make("span.question", shorten(oneLine(row.question), 160)),
        make("span.outcome", decision, drawTrail(row)),
      ),
    );
    element.style.top = `${i * ROW}px`;
    return element;
  }

  select(position) {
    this.selected = position;
    this.rows.forEach((row, i) => row.setAttribute("aria-selected", this.shown[i] === position));
    const place = this.shown.indexOf(position);
    if (place < 0) return;
    this.element.setAttribute("aria-activedescendant", `row-${position}`);
    const { scrollTop, clientHeight } = this.element;
    if (place * ROW < scrollTop) this.element.scrollTop = place * ROW;
    else if ((place + 1) * ROW > scrollTop + clientHeight) this.element.scrollTop = (place + 1) * ROW - clientHeight;
  }

  // The debate `offset` rows further down the list; the first debate if none is selected.
  neighbour(offset) {
    const place = this.shown.indexOf(this.selected);
    return this.shown[place < 0 ? 0 : Math.min(this.shown.length - 1, Math.max(0, place + offset))];
  }
}

const ENDINGS = {
  right: "right",
  wrong: "wrong",
  undecided: "undecided",
  pending: "in progress",
  open: "no true answer",
  spread: "no single answer",
};
const SIGNS = { right: "✓", wrong: "✗", undecided: "–", pending: "…", open: "", spread: "" };

function ending(row) {
  if (row.tags & bit("pending")) return "pending";
  if (!row.single) return "spread";
  if (row.decision < 0) return "undecided";
  if (!row.scored) return "open";
  return row.correct ? "right" : "wrong";
}

// An answer as it is named: of a multiple-choice question, the letter with its option.
const answerName = (row, answer) => row.answers[answer][3] || row.answers[answer][0];

// An agent with its persona, if it has one.
const agentName = (run, name) => (run.personas[name] ? `${name} (${run.personas[name]})` : name);

// Names, of many their number and the first.
const MOST_NAMES = 12;
const listNames = (names) =>
  names.length <= MOST_NAMES
    ? names.join(", ")
    : `${grouped(names.length)} agents: ${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more`;

// The society's answer, or why there is none.
function decisionText(row) {
  if (row.decision >= 0) return answerName(row, row.decision);
  if (ending(row) === "pending") return "in progress";
  return row.single ? `no answer (${row.reason})` : row.reason;
}

// A dot for each turn, by agent, coloured by the turn's answer. With many turns, only each agent's last turn.
function drawTrail(row) {
  const agents = [...new Set(row.turns.map((turn) => turn.agent).filter((name) => !name.includes("/")))];
  const dots = agents.map((agent) =>
    row.turns.filter((turn) => turn.agent === agent).map((turn) => make("i", { class: tone(row, turn.answer) })),
  );
  if (agents.length > MAX_DOTS) return make("span.trail", `${agents.length} agents`);
  const fit = row.turns.length <= MAX_DOTS;
  return make(
    "span",
    { class: "trail", "aria-hidden": "true" },
    dots.map((own) => make("span", fit ? own : own.slice(-1))),
  );
}
