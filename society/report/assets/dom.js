// Elements made from data. Text is inserted as text, never as markup; attribute names are constants of this program.

const isKnown = (value) => value !== null && value !== undefined;

const SVG = "http://www.w3.org/2000/svg";

const TEXT_ATTRIBUTES = new Set(["title", "aria-label", "aria-valuetext"]);
const TEXT_ONLY = new Set(["option", "title"]); // elements that cannot have child elements

// An element with attributes (if the first argument is an object of them) and children; `show` converts texts. `name` is
// a tag with classes: "span.chip.right".
function build(create, name, given, show) {
  const [tag, ...classes] = name.split(".");
  const element = create(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  const [first] = given;
  const hasAttributes = isKnown(first) && Object.getPrototypeOf(first) === Object.prototype;
  for (const [key, value] of Object.entries(hasAttributes ? first : {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (isKnown(value) && value !== false) {
      element.setAttribute(key, TEXT_ATTRIBUTES.has(key) ? plainText(`${value}`) : value);
    }
  }
  const children = (hasAttributes ? given.slice(1) : given).flat(Infinity);
  const shown = children.filter((child) => isKnown(child) && child !== "");
  element.append(...shown.flatMap((child) => (typeof child === "string" ? show(child, tag) : child)));
  return element;
}

const showText = (text, tag) => (TEXT_ONLY.has(tag) ? plainText(text) : reveal(text));
const make = (name, ...given) => build((tag) => document.createElement(tag), name, given, showText);
const draw = (name, ...given) => build((tag) => document.createElementNS(SVG, tag), name, given, plainText);
const byId = (id) => document.getElementById(id);

const percent = (share, digits = 1) => (isKnown(share) ? `${(100 * share).toFixed(digits)}%` : "–");
const grouped = (number) => Number(number).toLocaleString("en-US");
const counted = (number, noun) => `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
const shorten = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const oneLine = (text) => text.replace(/\s+/g, " ").trim();

// A function that calls `work` after `wait` milliseconds without another call.
function debounce(work, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}

// Fills a menu only if its options changed, because the menu may be open.
function fillMenu(choice, options, value) {
  if (options.map(([name]) => name).join("\n") !== [...choice.options].map((option) => option.value).join("\n")) {
    choice.replaceChildren(...options.map(([name, text]) => make("option", { value: name }, text)));
  }
  choice.value = value;
}
