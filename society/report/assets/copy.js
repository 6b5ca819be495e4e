// A debate as text and as JSON, to copy or to save.

// The open debate with all its texts, as plain data.
async function exportDebate(runNumber, position) {
  const run = data.runs[runNumber];
  const row = run.debates[position];
  const [replies, thoughts, calls, prompts] = await Promise.all(
    ["replies", "thoughts", "calls", "prompts"].map((kind) => source.texts(runNumber, kind, position)),
  );
  const answerOf = (i) => (i < 0 ? null : row.answers[i][0]);
  const optionOf = (i) => (i < 0 || !row.answers[i][3] ? {} : { option: row.answers[i][3] });
  const nameOf = ({ stage, agent }) => ({ phase: run.stages[stage]?.[0], round: run.stages[stage]?.[1], agent });
  const turns = row.turns.map((turn, t) => {
    const { stage, agent, answer, state, reads, thought, calls: called, ...others } = turn;
    return {
      ...nameOf({ stage, agent }),
      answer: answerOf(answer),
      ...optionOf(answer),
      right: answer < 0 || !row.scored ? null : row.answers[answer][2],
      status: STATUS[state],
      [state === 1 ? "error" : "text"]: replies[t],
      ...(thought ? { thought: thoughts[t] } : {}),
      ...(called ? { calls: calls[t] } : {}),
      read: reads.map((i) => nameOf(row.turns[i])),
      prompt: (prompts.turns[t] ?? []).map(([role, text]) => ({ role, content: prompts.texts[text] })),
      ...others,
    };
  });
  const { item, iteration, sample, question, gold, support, reason } = row;
  const decision = {
    answer: answerOf(row.decision),
    ...optionOf(row.decision),
    ending: ENDINGS[ending(row)],
    support,
    reason,
  };
  return { run: run.folder, scenario: run.scenario, item, iteration, sample, question, gold, decision, turns };
}

const STATUS = ["ok", "failed", "cut off"];

// The debate as lines of text, without prompts and thoughts. Hidden characters are shown as their code points.
function debateText(debate) {
  const { run, item, iteration, sample, question, gold, decision } = debate;
  const heads = [
    `${question}`,
    "",
    `run: ${run}, question: ${item}${iteration ? `, iteration ${iteration}` : ""}${sample ? `, sample ${sample + 1}` : ""}`,
    `true answer: ${gold || "not known"}`,
    `decided: ${decision.option ?? decision.answer ?? decision.reason} (${decision.ending})`,
  ];
  const said = debate.turns.flatMap((turn) => [
    "",
    `[${turn.phase}, round ${turn.round}] ${turn.agent}: ${turn.option ?? turn.answer ?? (turn.status === "failed" ? "failed" : "no readable answer")}`,
    turn.text ?? turn.error,
  ]);
  return plainText([...heads, ...said].join("\n"));
}

const WRITERS = {
  text: ["txt", "text/plain", debateText],
  JSON: ["json", "application/json", (debate) => JSON.stringify(debate, null, 2)],
};

function save(text, type, name) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// Buttons that copy or save the debate of this view, and the place where the outcome is shown.
function buildExport(view) {
  const said = make("output.dim", { class: "said" });
  const button = (name, title, act) =>
    make(
      "button",
      {
        type: "button",
        class: "quiet small",
        title,
        onclick: async () => {
          try {
            said.textContent = await act(await exportDebate(view.runNumber, view.position));
          } catch {
            said.textContent = "The browser does not allow this. Save the debate instead.";
          }
        },
      },
      name,
    );
  const buttons = Object.entries(WRITERS).flatMap(([kind, [ending_, type, write]]) => [
    button(`Copy ${kind}`, `Copy this debate as ${kind}`, async (debate) => {
      await navigator.clipboard.writeText(write(debate));
      return "copied";
    }),
    button(`Save ${kind}`, `Save this debate as a .${ending_} file`, (debate) => {
      const file = `${debate.run}-${debate.item}`.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80);
      save(write(debate), type, `${file}.${ending_}`);
      return "saved";
    }),
  ]);
  return make("div.export", buttons, said);
}
