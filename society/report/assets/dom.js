// Elements made from data. Text is inserted as text, never as markup; attribute names are constants of this program.

const isKnown = (value) => value !== null && value !== undefined;

const SVG = "http://www.w3.org/2000/svg";

const TEXT_ATTRIBUTES = new Set(["title", "aria-label", "aria-valuetext"]);
const TEXT_ONLY = new Set(["option", "title"]); // elements that cannot have child elements

// Sets attributes and listeners, and appends the children; `show` converts texts.
function fill(element, attributes, children, show) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (isKnown(value) && value !== false)
      element.setAttribute(name, TEXT_ATTRIBUTES.has(name) ? plainText(`${value}`) : value);
  }
  const given = children.flat(Infinity).filter((child) => isKnown(child) && child !== "");
  element.append(...given.flatMap((child) => (typeof child === "string" ? show(child) : child)));
  return element;
}

const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children, TEXT_ONLY.has(tag) ? plainText : reveal);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children, plainText);
const byId = (id) => document.getElementById(id);

const percent = (share, digits = 1) => (isKnown(share) ? `${(100 * share).toFixed(digits)}%` : "–");
const grouped = (number) => Number(number).toLocaleString("en-US");
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
