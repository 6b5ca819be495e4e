// The page of a person who is asked: shows the open question, and sends what is typed. A draft outlives a reload.

const POLL = 700;
const ROLES = { system: "Instructions", assistant: "You said", user: "" };

let shown = { number: -1 };
let received = 0;

const draftOf = (question) => `draft-${question.first}`;

function drawMessages(question) {
  const last = question.messages.length - 1;
  return question.messages.map(([role, text], i) =>
    make(`div.message${i < last ? ".dim" : ""}`, ROLES[role] ? make("h2", ROLES[role]) : "", make("pre.text", text)),
  );
}

// Buttons of choices send themselves; buttons of options are added to the reply.
function drawListed(question) {
  const choose = (text) => (question.choices.length ? send(text) : addOption(text));
  return [...question.choices, ...question.options].map((text) =>
    make("button.listed", { type: "button", onclick: () => choose(text) }, text),
  );
}

function addOption(text) {
  const entry = byId("entry");
  entry.value = entry.value.trim() ? `${entry.value.trim()}, ${text}` : text;
  keepDraft();
  entry.focus();
}

function explain(question) {
  if (question.choices.length) return "Choose one.";
  if (question.options.length) return "Name one or several of these.";
  return `At most about ${grouped(question.characters)} characters. Ctrl-Enter sends the reply, too.`;
}

function drawQuestion(question) {
  const open = question.number > 0;
  const again = open && question.fault !== "";
  byId("form").hidden = !open;
  byId("messages").replaceChildren(...(open ? drawMessages(question) : []));
  if (open) {
    byId("listed").replaceChildren(...drawListed(question));
    for (const id of ["entry", "send"]) byId(id).hidden = question.choices.length > 0;
    byId("fault").hidden = !again;
    byId("fault").replaceChildren(...reveal(question.fault));
    byId("how").textContent = explain(question);
    byId("send").disabled = false;
    if (!byId("entry").value) byId("entry").value = sessionStorage.getItem(draftOf(question)) ?? "";
    if (!byId("entry").hidden) byId("entry").focus();
  }
}

function drawState() {
  const { number, ended, left, default: fallback } = shown;
  byId("title").replaceChildren(...reveal(shown.person));
  const state = byId("live");
  state.classList.toggle("ended", !number);
  if (!number) {
    state.textContent = ended ? "the run has ended; thank you" : "no question is open; the next one appears here";
  } else if (isKnown(left)) {
    const seconds = Math.max(0, Math.round(left - (performance.now() - received) / 1000));
    const after = isKnown(fallback) ? `the reply is “${shorten(fallback, 40)}”` : "the turn fails";
    state.textContent = plainText(`${seconds} s left; after that, ${after}`);
  } else {
    state.textContent = "a question for you";
  }
}

function keepDraft() {
  try {
    sessionStorage.setItem(draftOf(shown), byId("entry").value);
  } catch {
    // a draft that is larger than the storage does not outlive a reload
  }
}

function forgetDraft(question) {
  sessionStorage.removeItem(draftOf(question));
  byId("entry").value = "";
}

async function poll() {
  try {
    const answer = await fetch("question");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const question = await answer.json();
    received = performance.now();
    const before = shown;
    shown = question;
    if (before.number !== question.number) {
      if (before.number > 0 && before.first !== question.first) forgetDraft(before); // its question is over
      drawQuestion(question);
    }
    drawState();
  } catch {
    byId("live").classList.add("ended");
    byId("live").textContent = "the server has stopped; what is typed here is not sent";
  }
  document.documentElement.dataset.ready = "yes";
}

async function send(text) {
  byId("send").disabled = true;
  const body = JSON.stringify({ number: shown.number, text });
  try {
    const answer = await fetch("entry", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (answer.status === 409) alertOver();
    else if (!answer.ok) throw new Error(`status ${answer.status}`);
  } catch {
    byId("fault").hidden = false;
    byId("fault").textContent = "The reply could not be sent. Try again.";
    byId("send").disabled = false;
  }
  await poll();
}

function alertOver() {
  byId("fault").hidden = false;
  byId("fault").textContent = "This question is not open any more.";
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send(byId("entry").value);
});
byId("entry").addEventListener("input", keepDraft);
byId("entry").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(byId("entry").value);
});
poll();
setInterval(poll, POLL);
