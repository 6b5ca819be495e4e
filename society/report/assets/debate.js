// One debate: the question, the graph with a slider over rounds, every turn, and prompts on demand.

const LONG = 1400;
// Values of a turn that have a place of their own; the others are listed as "name: value".
const KNOWN = new Set([
  "stage",
  "agent",
  "answer",
  "state",
  "reads",
  "recalls",
  "thought",
  "calls",
  "note",
  "thought_tokens",
  "prompt_tokens",
  "generated_tokens",
  "estimated",
  "confidence",
  "tool_calls",
  "failed_calls",
  "person_seconds",
  "defaults",
]);

// Names of turns that write a memory, or rate one.
const MEMORY = /\/(note|reflection)(\/importance)?$/;

const stagesOf = (row) => [...new Set(row.turns.map((turn) => turn.stage))].toSorted((a, b) => a - b);
const stageName = (run, stage) => {
  const [phase, round] = run.stages[stage];
  return run.stages.filter(([name]) => name === phase).length > 1 ? `${phase}, round ${round}` : phase;
};

class DebateView {
  constructor(element, onRound) {
    this.element = element;
    this.onRound = onRound;
  }

  // Shows a debate at a round (an index into the debate's rounds).
  show(runNumber, position, round) {
    const run = data.runs[runNumber];
    Object.assign(this, { runNumber, position, run, row: run.debates[position] });
    this.stages = stagesOf(this.row);
    this.round = Math.min(Math.max(round, 0), this.stages.length - 1);
    this.picture = make("div.picture");
    this.slider = this.buildSlider();
    this.sections = this.stages.map((stage, i) => this.buildStage(stage, i));
    this.bar = make("div.stage-bar", this.picture, this.slider);
    const nothing = this.stages.length ? null : make("p.dim", "No turn is finished yet.");
    this.element.replaceChildren(this.buildHead(), this.bar, ...this.sections, ...(nothing ? [nothing] : []));
    this.element.scrollTop = 0;
    this.paintRound();
    this.filled = this.fillTexts();
  }

  buildHead() {
    const { row } = this;
    const kind = ending(row);
    const facts = [
      [
        "decided",
        make("span", { class: `chip ${row.decision < 0 ? "unread" : tone(row, row.decision)}` }, decisionText(row)),
        SIGNS[kind] ? ` ${SIGNS[kind]} ${ENDINGS[kind]}` : "",
      ],
      ["true answer", row.truth || "not known"],
      ["decided by", row.backing || "–"],
    ];
    const place = [
      row.item,
      row.iteration ? `iteration ${row.iteration}` : "",
      row.sample ? `sample ${row.sample + 1}` : "",
    ]
      .filter(Boolean)
      .join(" · ");
    return make(
      "header",
      make("p.printed", `1 of ${counted(this.run.debates.length, "debate")} is printed: the open one.`),
      make(
        "div.debate-bar",
        make("button", { type: "button", class: "quiet back", onclick: closeDebate }, "← All debates"),
        make("span.dim.place", shorten(place, 80)),
        make("span.spring"),
        make(
          "button",
          {
            type: "button",
            class: "quiet",
            title: "Previous (k)",
            "aria-label": "Previous debate",
            onclick: () => stepBy(-1),
          },
          "↑",
        ),
        make(
          "button",
          { type: "button", class: "quiet", title: "Next (j)", "aria-label": "Next debate", onclick: () => stepBy(1) },
          "↓",
        ),
      ),
      make("h2.question", row.question),
      make(
        "dl.facts",
        facts.map(([name, ...value]) => make("div", make("dt", name), make("dd", ...value))),
      ),
      buildExport(this),
      this.buildOthers(),
    );
  }

  // The decisions of other runs on the same question.
  buildOthers() {
    const places = Object.entries(pairs.get(debateKey(this.row)) ?? {}).filter(
      ([run]) => Number(run) !== this.runNumber,
    );
    return places.length === 0
      ? null
      : make(
          "p.others",
          places.map(([run, position]) => {
            const row = data.runs[run].debates[position];
            return make(
              "button",
              { type: "button", onclick: () => openDebate(Number(run), position, 0) },
              `in ${data.runs[run].name}: ${shorten(oneLine(decisionText(row)), 40)} ${SIGNS[ending(row)]}`,
            );
          }),
        );
  }

  buildSlider() {
    if (this.stages.length < 2) return null;
    this.output = make("output", { for: "round" });
    const input = make("input", {
      type: "range",
      id: "round",
      min: 0,
      max: this.stages.length - 1,
      step: 1,
      value: this.round,
      "aria-label": "Round",
      oninput: () => this.go(Number(input.value), true),
    });
    this.input = input;
    return make("div.slider", input, this.output);
  }

  go(round, scroll = false) {
    if (!this.row) return;
    this.round = Math.min(Math.max(round, 0), this.stages.length - 1);
    this.paintRound();
    if (scroll) this.scrollToRound();
    this.onRound(this.round);
  }

  // Scrolls to the round's turns if the graph stays visible above them.
  scrollToRound() {
    if (!this.stages.length || getComputedStyle(this.bar).position !== "sticky") return;
    this.element.scrollTop = this.round ? this.sections[this.round].offsetTop - this.bar.offsetHeight - 8 : 0;
  }

  paintRound() {
    if (!this.stages.length) return;
    const stage = this.stages[this.round];
    this.picture.replaceChildren(drawGraph(this.run, this.row, stage));
    if (this.input) {
      this.input.value = this.round;
      this.input.setAttribute("aria-valuetext", plainText(stageName(this.run, stage)));
      this.output.textContent = plainText(stageName(this.run, stage));
    }
    this.sections.forEach((section, i) =>
      section.toggleAttribute("data-current", i === this.round && this.sections.length > 1),
    );
  }

  buildStage(stage, i) {
    const turns = this.row.turns.map((turn, t) => [turn, t]).filter(([turn]) => turn.stage === stage);
    return make(
      "section",
      { class: "stage", "aria-label": stageName(this.run, stage) },
      make("h3", make("button", { type: "button", onclick: () => this.go(i) }, stageName(this.run, stage))),
      make(
        "div.turns",
        turns.map(([turn, t]) => this.buildTurn(turn, t)),
      ),
    );
  }

  buildTurn(turn, t) {
    const { row } = this;
    const { agent, answer, state, reads, note, generated_tokens: generated, confidence } = turn;
    const more = Object.entries(turn).filter(([name, value]) => !KNOWN.has(name) && value !== null);
    let text = answer < 0 ? "no readable answer" : answerName(row, answer);
    if (MEMORY.test(agent)) text = "a memory";
    if (state === 1) text = "failed";
    const notes = [
      note,
      reads.length ? `read ${listNames([...new Set(reads.map((source) => row.turns[source].agent))])}` : "",
      turn.failed_calls ? `${counted(turn.failed_calls, "failed call")}` : "",
      generated ? `${turn.estimated ? "about " : ""}${counted(generated, "token")}` : "",
      turn.person_seconds ? `${turn.person_seconds.toFixed(1)} s of a person` : "",
      state === 2 && !note ? "cut off at the token limit" : "",
      confidence === null ? "" : `confidence ${percent(confidence, 0)}`,
      ...more.map(([name, value]) => `${name}: ${value}`),
    ].filter(Boolean);
    return make(
      "div",
      { class: "turn", "data-turn": t },
      make(
        "h4",
        make("span.agent", agentName(this.run, agent)),
        make(
          "span",
          { class: `chip ${state === 1 ? "failed" : tone(row, answer)}` },
          shorten(oneLine(text), 60),
          state === 1 || !sign(row, answer) ? "" : ` ${sign(row, answer)}`,
        ),
        this.buildFlip(turn, t),
      ),
      turn.recalls.length ? this.buildMemories(turn) : null,
      turn.thought ? this.buildThought(turn, t) : null,
      turn.calls ? this.buildCalls(turn, t) : null,
      make("div.text"),
      make("p.notes", shorten(notes.join(" · "), 300)),
      this.buildPrompt(turn, t),
    );
  }

  // A note that the agent's answer changed, compared with the agent's previous turn.
  buildFlip(turn, t) {
    const before = this.row.turns.slice(0, t).findLast((other) => other.agent === turn.agent);
    if (!before || before.answer < 0 || turn.answer < 0) return null;
    const [, oldGroup, wasRight] = this.row.answers[before.answer];
    const [, group, right] = this.row.answers[turn.answer];
    if (oldGroup === group) return null;
    const [style, text] = right ? ["to-right", "wrong → right"] : ["to-wrong", "right → wrong"];
    const changed = wasRight === right || !this.row.scored ? ["", "changed"] : [style, text];
    return make(
      "span",
      { class: `flip ${changed[0]}`, title: `before: ${answerName(this.row, before.answer)}` },
      changed[1],
    );
  }

  buildPrompt(turn, t) {
    return this.buildFolded("prompts", "Prompt as sent", turn.prompt_tokens, (found) =>
      (found?.turns[t] ?? []).map(([role, text]) => make("div", make("b", role), make("pre", found.texts[text]))),
    );
  }

  // What the agent remembered of earlier questions: turns of other debates, each under its question.
  buildMemories({ recalls }) {
    const title = `Remembered, ${recalls.length === 1 ? "1 memory" : `${recalls.length} memories`}`;
    return this.buildDetails("memories", title, async () =>
      Promise.all(recalls.map((recall) => this.buildMemory(recall))),
    );
  }

  async buildMemory([item, sample, stage, agent]) {
    const { iteration } = this.row;
    const position = this.run.debates.findIndex(
      (row) => row.item === item && row.sample === sample && row.iteration === iteration,
    );
    const row = this.run.debates[position];
    const t = row ? row.turns.findIndex((turn) => turn.stage === stage && turn.agent === agent) : -1;
    const texts = t < 0 ? null : await source.texts(this.runNumber, "replies", position);
    const head = `${agentName(this.run, agent)}, ${row ? shorten(oneLine(row.question), 80) : item}`;
    return make("div", make("b", head), make("pre", { dir: "auto" }, highlightSuspects(texts?.[t] ?? "(not here)")));
  }

  // What a reasoning model wrote before the text. No other agent reads it unless an edge shows thoughts.
  buildThought(turn, t) {
    return this.buildFolded("thoughts", "Thought", turn.thought_tokens, (found) => [
      make("pre", { dir: "auto" }, highlightSuspects(found?.[t] ?? "")),
    ]);
  }

  // The calls of tools before the text, with what they were given and their results. No other agent reads them.
  buildCalls(turn, t) {
    return this.buildFolded("calls", `${counted(turn.calls, "call")} of tools`, 0, (found) =>
      (found?.[t] ?? []).map(({ tool, status, said, given, result }) =>
        make(
          "div",
          said ? make("pre", { dir: "auto" }, highlightSuspects(said)) : null,
          make("b", status === "ok" ? tool : `${tool} (${status})`),
          make("pre", { dir: "auto" }, highlightSuspects(given)),
          make("b", "result"),
          make("pre", { dir: "auto" }, highlightSuspects(result)),
        ),
      ),
    );
  }

  // A folded part of a turn, whose texts of this kind are read when it is opened first. `fill` makes its elements.
  buildFolded(kind, title, tokens, fill) {
    const head = tokens ? `${title}, ${counted(tokens, "token")}` : title;
    return this.buildDetails(kind, head, async () => fill(await source.texts(this.runNumber, kind, this.position)));
  }

  // A folded part of a turn. `elements` makes its contents when it is opened first.
  buildDetails(kind, head, elements) {
    const place = make("div.prompt");
    const details = make("details", { class: kind }, make("summary", head), place);
    details.addEventListener("toggle", async () => {
      if (!details.open || place.childElementCount) return;
      place.replaceChildren(...(await elements()));
    });
    return details;
  }

  async fillTexts() {
    const { runNumber, position, row } = this;
    const texts = await source.texts(runNumber, "replies", position);
    if (this.row !== row || !texts) return;
    for (const element of this.element.querySelectorAll("[data-turn]")) {
      const t = Number(element.dataset.turn);
      element
        .querySelector(".text")
        .replaceWith(
          make("div", { class: "text", dir: "auto" }, this.highlightAnswer(texts[t] ?? "", row.turns[t].answer)),
        );
      this.warn(element.querySelector("h4"), texts[t] ?? "");
      if ((texts[t] ?? "").length > LONG) this.fold(element.querySelector(".text"));
    }
  }

  // The text with the last occurrence of the answer highlighted.
  highlightAnswer(text, answer) {
    const sought = answer < 0 ? "" : this.row.answers[answer][0];
    const start = sought ? text.toLowerCase().lastIndexOf(sought.toLowerCase()) : -1;
    if (start < 0) return highlightSuspects(text);
    const end = start + sought.length;
    const answerMark = make("mark", text.slice(start, end));
    return [highlightSuspects(text.slice(0, start)), answerMark, highlightSuspects(text.slice(end))];
  }

  // Adds a warning to the turn's head if the text has a pattern of an injection.
  warn(head, text) {
    const names = [...new Set(findSuspects(text).map(([name]) => name))];
    if (!names.length) return;
    const title = "Found by a pattern, which can be wrong. Read the text yourself.";
    head.append(make("span", { class: "warning", title }, `⚠ possibly ${names.join(" and ")}`));
  }

  fold(element) {
    element.classList.add("folded");
    const button = make("button", { type: "button", class: "more" }, "Show the whole text");
    button.addEventListener("click", () => {
      element.classList.remove("folded");
      button.remove();
    });
    element.after(button);
  }
}
