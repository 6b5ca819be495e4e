// Elements made from data: text goes in as text, never as markup; attribute names are this program's own.

const SVG = "http://www.w3.org/2000/svg";

const SPOKEN = ["title", "aria-label", "aria-valuetext"];
const BARE = ["option", "title"]; // elements that hold text alone

function fill(element, attributes, children, show) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, SPOKEN.includes(name) ? plainly(`${value}`) : value);
  }
  const given = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== "");
  element.append(...given.flatMap((child) => (typeof child === "string" ? show(child) : child)));
  return element;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children, BARE.includes(tag) ? plainly : reveal);
const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children, plainly);
const byId = (id) => document.getElementById(id);

const percent = (share, digits = 1) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)}%`);
const grouped = (number) => Number(number).toLocaleString("en-US");
const shorten = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const oneLine = (text) => text.replace(/\s+/g, " ").trim();

// Calls `work` once the calls have ceased for `wait` milliseconds.
function settle(work, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}
