// Elements, made of text alone: nothing on this page turns a string into markup.

// Control characters, and those that reorder or hide text: clients choose methods and paths.
const UNFIT = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with each character written out that could hide in it. */
function visible(text) {
  return String(text).replace(UNFIT, (unfit) => `\\u{${unfit.codePointAt(0).toString(16)}}`);
}

/**
 * An element. `on` has listeners and `css` properties of its style; all else are attributes, of which `false` and
 * `undefined` are left out.
 */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (key === "css") {
      for (const [property, setting] of Object.entries(value)) made.style.setProperty(property, setting);
    } else {
      made.setAttribute(key, value === true ? "" : visible(value));
    }
  }
  return append(made, children);
}

/** Appends elements and texts; a list in the list is taken apart, and what is absent is left out. */
function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    parent.append(child instanceof Node ? child : visible(child));
  }
  return parent;
}

/** A button that looks like a link. */
function link(text, click, attributes = {}) {
  return element("button", { type: "button", class: "link", on: { click }, ...attributes }, text);
}

/** A button. */
function action(text, click, attributes = {}) {
  return element("button", { type: "button", class: "action", on: { click }, ...attributes }, text);
}

/** An element of SVG. */
function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A part of the page with a heading; the menu leads to it. */
function section(id, title, aside, ...children) {
  const heading = element("h2", { id: `${id}-title`, tabindex: "-1" }, title, aside && element("small", {}, aside));
  const made = element("section", { id, "aria-labelledby": `${id}-title` }, heading, ...children);
  made.dataset.menu = title;
  return made;
}

/** The value of a colour of the style sheet, for canvases. */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A text beside the pointer; none hides it. */
function hint(text, event) {
  const shown = document.getElementById("hint");
  shown.hidden = !text;
  if (!text) return;
  shown.replaceChildren(visible(text));
  const left = Math.min(event.clientX + 14, innerWidth - shown.offsetWidth - 8);
  shown.style.setProperty("left", `${Math.max(4, left)}px`);
  shown.style.setProperty("top", `${Math.max(4, event.clientY - shown.offsetHeight - 10)}px`);
}
