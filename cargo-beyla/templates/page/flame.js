// Flame graphs of the selected requests, the outermost function at the top: on a CPU by samples, off it by where they blocked.

const ROW = 20;
// A frame that is narrower than this part of the graph is not drawn.
const NARROW = 0.002;
const FOLDED = "…";

function flameSection(data) {
  const { requests } = data.report;
  if (!requests.some(({ handle }) => handle)) return undefined;
  const graphs = [
    new Flame("on", "On the CPU", "estimated from samples", "No sample met these requests on a CPU.", (place) => place.cause === "running"),
    new Flame("off", "Off the CPU", "blocked in system calls, on locks and page faults", "None of these requests blocked.", (place) => place.cause !== "running"),
  ];
  const search = element("input", {
    type: "search", placeholder: "function or file", "aria-label": "Find functions in the flame graphs",
    on: { input: () => view.change({ frame: search.value || undefined }) },
  });
  const runtime = element("input", { type: "checkbox", on: { change: () => view.change({ runtime: runtime.checked || undefined }) } });
  const scope = element("p", { class: "quiet", role: "status" });

  view.follow([...FILTER, "runtime"], () => {
    runtime.checked = Boolean(view.now.runtime);
    const selected = data.select(view.now);
    const opened = selected.filter((index) => requests[index].handle).length;
    scope.replaceChildren(visible(`Of ${counted(opened, "selected request")} whose handler is opened, with the tasks that they waited for. `
      + "The filter of the requests chooses them."));
    graphs.forEach((graph) => graph.show(data, selected, !view.now.runtime));
  });
  view.follow(["frame"], () => {
    if (search.value !== (view.now.frame ?? "")) search.value = view.now.frame ?? "";
    graphs.forEach((graph) => graph.find(view.now.frame));
  });
  return section("flames", "Flame graphs", undefined,
    element("div", { class: "controls" }, search, element("label", {}, runtime, "show the frames of the runtime"), link("to the filter", () => showRequests(pick(FILTER)))),
    scope, graphs.map((graph) => graph.whole));
}

function pick(names) {
  return Object.fromEntries(names.map((name) => [name, view.now[name]]));
}

class Flame {
  constructor(id, title, about, none, accepts) {
    this.accepts = accepts;
    this.none = none;
    this.title = title;
    this.picture = element("div", { class: "flame", id: `flame-${id}`, role: "group", "aria-label": title, on: { keydown: (event) => this.key(event) } });
    this.said = element("small");
    this.back = action("Show all", () => this.zoom(this.root));
    const heading = element("h3", {}, title, element("small", {}, about), this.said);
    this.whole = element("div", {}, element("div", { class: "flame-head" }, heading, this.back), this.picture);
  }

  show(data, selected, fold) {
    const { requests } = data.report;
    const all = new Spent();
    for (const index of selected) {
      const { handle } = requests[index];
      if (handle) all.add(handle.by_stack ?? handle.places, handle.waits, this.accepts);
    }
    this.root = node("all");
    this.grow(data, all, [], fold);
    this.zoom(this.root);
  }

  grow(data, spent, outer, fold) {
    for (const place of spent.places.values()) this.add(place.ns, [...outer, ...framesOf(data, place, fold)]);
    for (const [on, inner] of spent.waits) this.grow(data, inner, [...outer, { name: `waited for ${on}`, kind: "cause" }], fold);
  }

  add(ns, frames) {
    let at = this.root;
    at.ns += ns;
    for (const { name, kind, where } of frames) {
      const key = `${kind} ${name}`;
      if (!at.inner.has(key)) at.inner.set(key, node(name, kind, where));
      at = at.inner.get(key);
      at.ns += ns;
    }
  }

  /** Draws a frame as wide as all, with those around it above and what it called beneath. */
  zoom(top) {
    this.top = top;
    const above = pathTo(this.root, top);
    const drawn = [];
    let depth = 0;
    const place = (one, left, width, row) => {
      depth = Math.max(depth, row);
      drawn.push(this.frame(one, left, width, row));
      let at = left;
      const inner = [...one.inner.values()].sort((a, b) => b.ns - a.ns);
      for (const next of inner) {
        const part = (width * next.ns) / one.ns;
        if (part >= NARROW) place(next, at, part, row + 1);
        at += part;
      }
    };
    this.back.hidden = top === this.root;
    this.said.replaceChildren(visible(this.root.ns > 0 ? ` ${time(this.root.ns)} in all` : ""));
    if (this.root.ns === 0) {
      this.picture.replaceChildren(element("p", { class: "quiet", css: { padding: "0 .8rem" } }, this.none));
      this.picture.style.removeProperty("height");
      return;
    }
    above.forEach((one, row) => drawn.push(this.frame(one, 0, 1, row)));
    place(top, 0, 1, above.length);
    this.picture.replaceChildren(...drawn);
    this.picture.style.setProperty("height", `${(depth + 1) * ROW + 1}px`);
    drawn[0].tabIndex = 0;
    this.find(view.now.frame);
  }

  frame(one, left, width, row) {
    const text = one === this.root ? `${this.title}, ${time(one.ns)}` : one.name;
    const title = `${one === this.root ? this.title : text}${one.where ? ` at ${one.where}` : ""}: ${time(one.ns)}, ${share(one.ns, this.root.ns)}`;
    const label = width > 0.02 ? short(text) : "";
    const made = element("button", {
      type: "button", class: one.kind, tabindex: "-1", title, "aria-label": label ? undefined : title,
      css: { left: `${100 * left}%`, width: `${100 * width}%`, top: `${row * ROW}px` }, on: { click: () => this.zoom(one) },
    }, label);
    made.dataset.ns = one.ns;
    made.dataset.row = row;
    made.dataset.text = visible(`${one.name} ${one.where ?? ""}`.toLowerCase());
    return made;
  }

  find(text) {
    const wanted = text?.toLowerCase();
    for (const one of this.picture.querySelectorAll("button")) {
      one.classList.toggle("found", Boolean(wanted) && one.dataset.text.includes(wanted));
    }
    if (!this.root || this.root.ns === 0) return;
    const found = wanted ? ` · ${share(foundIn(this.root, wanted), this.root.ns)} is in what was found` : "";
    this.said.replaceChildren(visible(` ${time(this.root.ns)} in all${found}`));
  }

  /** Arrow keys go from frame to frame, as the eye does. */
  key(event) {
    const now = document.activeElement;
    const frames = [...this.picture.querySelectorAll("button")];
    const row = Number(now?.dataset?.row);
    const at = (one) => Number.parseFloat(one.style.left);
    const inRow = (wanted) => frames.filter((one) => Number(one.dataset.row) === wanted).sort((a, b) => at(a) - at(b));
    const beside = inRow(row);
    const place = beside.indexOf(now);
    const next = {
      ArrowRight: () => beside[place + 1],
      ArrowLeft: () => beside[place - 1],
      ArrowDown: () => inRow(row + 1).find((one) => at(one) >= at(now) - 1e-6),
      ArrowUp: () => inRow(row - 1).findLast((one) => at(one) <= at(now) + 1e-6),
      Escape: () => this.zoom(this.root),
    }[event.key]?.();
    if (event.key.startsWith("Arrow")) event.preventDefault();
    if (!next) return;
    now.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** Where time was spent, over many requests: most of them share their stacks. */
class Spent {
  constructor() {
    this.places = new Map();
    this.waits = new Map();
  }

  add(places, waits, accepts) {
    for (const place of places ?? []) {
      if (!accepts(place) || place.ns === 0) continue;
      const key = `${place.stack ?? `${place.function} ${place.file} ${place.line}`} ${place.cause} ${place.system_call}`;
      const known = this.places.get(key);
      if (known) known.ns += place.ns;
      else this.places.set(key, { ...place });
    }
    for (const wait of waits ?? []) {
      if (!this.waits.has(wait.on)) this.waits.set(wait.on, new Spent());
      this.waits.get(wait.on).add(wait.places, wait.waits, accepts);
    }
  }
}

function node(name, kind = "", where = undefined) {
  return { name, kind, where, ns: 0, inner: new Map() };
}

/** The frames around one, from the outermost. */
function pathTo(from, wanted) {
  if (from === wanted) return [];
  for (const inner of from.inner.values()) {
    if (inner === wanted) return [from];
    const path = pathTo(inner, wanted);
    if (path.length > 0) return [from, ...path];
  }
  return [];
}

function foundIn(one, wanted) {
  if (`${one.name} ${one.where ?? ""}`.toLowerCase().includes(wanted)) return one.ns;
  return [...one.inner.values()].reduce((sum, inner) => sum + foundIn(inner, wanted), 0);
}

/** The frames of a place, the outermost first; `fold` makes one of those between the workspace's own. */
function framesOf(data, place, fold) {
  const numbers = data.stacks.get(place.stack) ?? [];
  const all = numbers.map((number) => data.report.frames[number]).reverse()
    .map(({ function: name, file, line, own }) => ({ name, kind: own ? "own" : "", where: file && fileOf({ file, line }) }));
  if (all.length === 0) all.push({ name: place.function ?? "unknown", kind: place.function ? "own" : "", where: place.file && fileOf(place) });
  const frames = [];
  const innermost = all.findLastIndex(({ kind }) => kind === "own");
  all.forEach((frame, index) => {
    if (!fold || frame.kind === "own" || index > innermost) frames.push(frame);
    else if (frames.at(-1)?.name !== FOLDED) frames.push({ name: FOLDED, kind: "" });
  });
  const cause = place.system_call ?? (place.cause === "running" ? undefined : place.cause);
  if (cause) frames.push({ name: cause, kind: "cause" });
  return frames;
}

/** The last two segments of a name of Rust, without generics; of a method of a trait, type and method. */
function short(name) {
  if (!name.startsWith("<")) return lastOf(withoutGenerics(name), 2);
  const close = closing(name);
  const [type, trait] = withoutGenerics(name.slice(1, close)).split(" as ");
  // A parameter says less than the trait.
  const named = trait !== undefined && /^[&*]?(\w{1,2}|\(.*)$/.test(type) ? trait : type;
  return lastOf(named, 1) + withoutGenerics(name.slice(close + 1));
}

/** Where the bracket ends that a name begins with. */
function closing(name) {
  let depth = 0;
  for (let at = 0; at < name.length; at += 1) {
    if (name[at] === "<") depth += 1;
    // That of an arrow is none.
    if (name[at] === ">" && name[at - 1] !== "-") depth -= 1;
    if (depth === 0) return at;
  }
  return name.length;
}

function withoutGenerics(name) {
  let text = "";
  for (let at = 0; at < name.length; at += 1) {
    if (name[at] === "<") at += closing(name.slice(at));
    else text += name[at];
  }
  return text;
}

function lastOf(path, segments) {
  return path.split("::").filter(Boolean).slice(-segments).join("::").slice(0, 160);
}
