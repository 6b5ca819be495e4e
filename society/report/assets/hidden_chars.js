// Invisible characters in texts (the list of society/core/hidden_chars.py), and patterns of prompt injection: texts
// that seem to address other agents in another's name. The patterns can be wrong in both directions.

const HIDDEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\r(?!\n)/gu;
const nameHidden = (letter) => `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// The text with each hidden character as its code point: for titles, labels and pictures.
const plainText = (text) => text.replace(HIDDEN, (letter) => `⟦${nameHidden(letter)}⟧`);

// The text with each hidden character as an element: a list of texts and elements.
function reveal(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(HIDDEN)) {
    const element = document.createElement("span");
    element.className = "hidden-char";
    element.title = "invisible character";
    element.textContent = nameHidden(found[0]);
    parts.push(text.slice(done, found.index), element);
    done = found.index + found[0].length;
  }
  return [...parts, text.slice(done)].filter((part) => part !== "");
}

const SUSPECTS = [
  ["a control token", /<\|[^|<>\s]{1,40}\|>|<\/?s>|\[\/?INST\]|<<\/?SYS>>|<\/?(?:start|end)_of_turn>/gi],
  ["a role label", /^[ \t#*[(]*(?:system|assistant|user|human)[ \t*\])]*:/gim],
  [
    "an instruction to readers",
    /\b(?:ignore|disregard|forget|override)\b[^.!?\n]{0,40}?\b(?:previous|prior|above|earlier|preceding|all|your|other)\b[^.!?\n]{0,40}?\b(?:instructions?|prompts?|rules?|messages?|answers?|agents?)\b/gi,
  ],
];

// The suspect passages of a text in order, as [name in SUSPECTS, start, end]. Overlapping passages count once.
function findSuspects(text) {
  const bare = text.replace(HIDDEN, (letter) => "\u00b7".repeat(letter.length));
  const found = SUSPECTS.flatMap(([name, pattern]) =>
    [...bare.matchAll(pattern)].map((m) => [name, m.index, m.index + m[0].length]),
  );
  const inOrder = found.toSorted((a, b) => a[1] - b[1]);
  return inOrder.filter((one, i) => inOrder.slice(0, i).every((earlier) => earlier[2] <= one[1]));
}

// The text with its suspect passages highlighted: a list of texts and elements.
function highlightSuspects(text) {
  const parts = [];
  let done = 0;
  for (const [name, start, end] of findSuspects(text)) {
    parts.push(
      text.slice(done, start),
      make("mark", { class: "suspect", title: `possibly ${name}` }, text.slice(start, end)),
    );
    done = end;
  }
  return [...parts, text.slice(done)].filter((part) => part !== "");
}
