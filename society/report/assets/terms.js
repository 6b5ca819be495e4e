// Explanations of terms: shown at the pointer or the focus, and listed at the end of the page.

const used = new Map(); // the explained terms in order, with their numbers

// The text with the first place of each term of the glossary marked: a list of texts and elements. Terms in `seen` are
// left out; the others are added.
function explain(text, seen = new Set()) {
  const found = Object.keys(data.glossary)
    .filter((term) => !seen.has(term))
    .map((term) => [text.indexOf(term), term])
    .filter(([place]) => place >= 0)
    .toSorted(([a, one], [b, other]) => a - b || other.length - one.length);
  const parts = [];
  let done = 0;
  for (const [place, term] of found) {
    if (place >= done) {
      const end = place + term.length + text.slice(place + term.length).match(/^\p{L}*/u)[0].length;
      seen.add(term);
      parts.push(text.slice(done, place), markTerm(term, text.slice(place, end)));
      done = end;
    }
  }
  return [...parts, text.slice(done)].flatMap(markCode).filter((part) => part !== "");
}

// Text between backticks as code; an element stays as it is.
const markCode = (part) =>
  typeof part === "string" ? part.split(/`([^`]+)`/).map((text, i) => (i % 2 ? make("code", text) : text)) : part;

function markTerm(term, text) {
  const meaning = data.glossary[term];
  if (!used.has(meaning)) used.set(meaning, [used.size + 1, term]);
  const [number] = used.get(meaning);
  const show = (event) => showTip(event.currentTarget, meaning);
  return make(
    "span",
    {
      class: "term",
      tabindex: 0,
      "aria-describedby": "tip",
      onmouseenter: show,
      onfocus: show,
      onclick: show,
      onmouseleave: hideTip,
      onblur: hideTip,
    },
    text,
    make("sup", { "aria-hidden": "true" }, `${number}`),
  );
}

// Shows an explanation below its term, within the window.
function showTip(term, meaning) {
  const tip = byId("tip");
  tip.textContent = meaning;
  tip.hidden = false;
  const place = term.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const below = place.bottom + 6 + size.height < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - size.width - 8))}px`;
  tip.style.top = `${below ? place.bottom + 6 : Math.max(8, place.top - size.height - 6)}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

// Lists all explanations that the page uses.
function listTerms() {
  byId("terms").hidden = used.size === 0;
  byId("term-list").replaceChildren(
    ...[...used].map(([meaning, [number, term]]) =>
      make("div", make("dt", make("sup", `${number}`), ` ${term}`), make("dd", meaning)),
    ),
  );
}
