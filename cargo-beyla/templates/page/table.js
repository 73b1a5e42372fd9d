// Tables that are sorted by a click on a heading.

/**
 * A table. A column has a `title`, makes the `cell` of a row, and if it can be sorted by has `by`, a number or a text
 * of a row. `name` is where the view keeps the order: `column` or `-column`, which is descending.
 */
function sortedTable(name, caption, columns, rows, { beneath, chosen, limit = Infinity, initial } = {}) {
  const body = element("tbody");
  const more = element("div", { class: "controls" });
  let shown = limit;
  const order = () => view.now[name] ?? initial;

  const heads = columns.map((column) => {
    const attributes = { scope: "col", class: column.class };
    if (!column.by) return element("th", attributes, column.title);
    return element("th", attributes, element("button", { type: "button", on: { click: () => turn(column) } }, column.title));
  });

  function turn({ key, isText }) {
    const first = isText ? key : `-${key}`;
    const second = isText ? `-${key}` : key;
    view.change({ [name]: order() === first ? second : first });
  }

  function fill() {
    const sorted = [...rows()];
    const [descending, key] = order()?.startsWith("-") ? [true, order().slice(1)] : [false, order()];
    columns.forEach((column, place) => {
      if (column.by && column.key === key) heads[place].setAttribute("aria-sort", descending ? "descending" : "ascending");
      else heads[place].removeAttribute("aria-sort");
    });
    const column = columns.find((candidate) => candidate.by && candidate.key === key);
    if (column) {
      const keyed = sorted.map((row) => ({ row, key: column.by(row) }));
      keyed.sort((a, b) => (descending ? compare(b.key, a.key) : compare(a.key, b.key)));
      keyed.forEach(({ row }, place) => { sorted[place] = row; });
    }
    body.replaceChildren(...sorted.slice(0, shown).flatMap((row) => {
      const cells = columns.map((one) => element("td", { class: one.class }, one.cell(row)));
      const line = element("tr", { class: chosen?.(row) && "chosen" }, cells);
      return [line, ...(beneath?.(row) ?? [])];
    }));
    more.replaceChildren();
    if (sorted.length > shown) {
      append(more, [
        element("span", { class: "quiet" }, `${count(shown)} of ${count(sorted.length)} are listed.`),
        action(`Show ${count(Math.min(limit, sorted.length - shown))} more`, () => {
          shown += limit;
          fill();
        }),
      ]);
    }
    return sorted;
  }

  const table = element("table", { "aria-label": caption }, element("thead", {}, element("tr", {}, heads)), body);
  const whole = element("div", {}, element("div", { class: "scroll" }, table), more);
  return {
    whole,
    /** Fills it anew, from the top of the list if that is another one. */
    fill(isOther) {
      if (isOther) shown = limit;
      return fill();
    },
  };
}

/** What is unknown comes last where the longest come first. */
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" || typeof b === "string") return String(a ?? "").localeCompare(String(b ?? ""));
  return (a ?? -1) - (b ?? -1);
}

/** A bar of lengths that stand one after the other, in the colours of their names. */
function stackedBar(names, lengths) {
  const sum = names.reduce((all, name) => all + (lengths[name] ?? 0), 0);
  const said = names.filter((name) => lengths[name] > 0).map((name) => `${name} ${share(lengths[name], sum)}`).join(", ") || "not known";
  const parts = names.filter((name) => lengths[name] > 0)
    .map((name) => element("i", { class: name, css: { width: `${(100 * lengths[name]) / sum}%` } }));
  return element("div", { class: "bar", role: "img", "aria-label": said, title: said }, parts);
}

function legend(names) {
  return element("ul", { class: "legend" }, names.map((name) => element("li", {}, element("i", { class: name }), name)));
}
