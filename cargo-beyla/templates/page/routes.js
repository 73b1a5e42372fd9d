// The routes: a row each, with a histogram of its requests.

const BUCKETS = 28;

function routesSection(data) {
  const { report } = data;
  const rows = data.routes.filter(({ row }) => row);
  if (rows.length === 0) return undefined;
  const scale = scaleOf(data);
  const names = shownNames(report.routes.map((row) => row.handle_mean_ns));
  const stat = (key, title = key) => ({
    key, title, class: `number${key === "mean" || key === "p90" ? " spare" : ""}`,
    by: ({ row }) => row.total_ns?.[key] ?? -1,
    cell: ({ row }) => time(row.total_ns?.[key]),
  });
  const columns = [
    {
      key: "route", title: "route", class: "target", isText: true, by: ({ name }) => name,
      cell: ({ name }) => link([dot(data, name), name], () => showRequests({ route: name }), { class: "link code", title: name.slice(0, 300) }),
    },
    { key: "count", title: "count", class: "number", by: ({ row }) => row.count, cell: ({ row }) => count(row.count) },
    {
      key: "errors", title: "errors", class: "number", by: ({ row }) => row.errors,
      cell: ({ row }) => element("span", { class: row.errors > 0 ? "bad" : "quiet" }, count(row.errors)),
    },
    report.totals.incomplete > 0 && {
      key: "incomplete", title: "incomplete", class: "number spare", by: ({ row }) => row.incomplete, cell: ({ row }) => count(row.incomplete),
    },
    stat("p50"), stat("p90"), stat("p99"), stat("max"), stat("mean"),
    {
      key: "sum", title: "all time", class: "number spare", by: ({ row }) => sumOf(row), cell: ({ row }) => (row.total_ns ? time(sumOf(row)) : "-"),
    },
    { key: "phases", title: "mean share", class: "spare", cell: ({ row }) => stackedBar(names, meanOf(row)) },
    { key: "histogram", title: "distribution", cell: (route) => histogram(data, route, scale) },
  ].filter(Boolean);
  const table = sortedTable("routes", "Routes", columns, () => rows, { initial: "-sum" });
  const kept = data.kept();
  const note = element("p", { class: "quiet" },
    `Distributions are of ${kept}, from ${time(scale.low)} to ${time(scale.high)} on a logarithmic scale; failed ones are red.`);
  view.follow(["routes"], () => table.fill());
  return section("routes", "Routes", counted(rows.length, "route"), legend(names), table.whole, note);
}

function dot(data, name) {
  const place = data.routes.findIndex((route) => route.name === name);
  return element("span", { class: "dot", css: { background: `var(--${data.colorOf(place)})` } });
}

function sumOf({ total_ns: total, count: number, incomplete }) {
  return (total?.mean ?? 0) * (number - incomplete);
}

/** The phases; where `handle` is opened, its parts as well, and `handle` alone if it is not opened everywhere. */
function shownNames(opened) {
  const [some, all] = [opened.some(Boolean), opened.every(Boolean)];
  return ["queue", "receive", ...(all && some ? [] : ["handle"]), ...(some ? PARTS : []), "respond"];
}

/** The mean lengths of a route's phases; where `handle` is opened, its parts share its length. */
function meanOf({ phase_mean_ns: phases, handle_mean_ns: parts }) {
  if (!parts || phases.handle === undefined) return phases;
  const sum = PARTS.reduce((all, name) => all + parts[name], 0);
  if (sum === 0) return phases;
  const shared = PARTS.map((name) => [name, (parts[name] / sum) * phases.handle]);
  return { ...phases, ...Object.fromEntries(shared), handle: undefined };
}

/** The powers of ten between which all total times lie. */
function scaleOf({ total }) {
  let [low, high] = [Infinity, 0];
  for (const ns of total) {
    if (ns > 0 && ns < low) low = ns;
    if (ns > high) high = ns;
  }
  if (high === 0) return { low: 1e3, high: 1e6 };
  low = 10 ** Math.floor(Math.log10(low));
  high = 10 ** Math.ceil(Math.log10(high));
  return { low, high: Math.max(high, low * 10) };
}

function histogram(data, { name, kept }, { low, high }) {
  const all = new Uint32Array(BUCKETS);
  const failed = new Uint32Array(BUCKETS);
  const decades = Math.log10(high / low);
  for (const index of kept) {
    const place = Math.log10(Math.max(data.total[index], low) / low) / decades;
    const bucket = Math.min(BUCKETS - 1, Math.floor(place * BUCKETS));
    all[bucket] += 1;
    failed[bucket] += data.failed[index];
  }
  const most = Math.max(1, ...all);
  const picture = drawn("svg", { class: "histogram", viewBox: `0 0 ${BUCKETS * 4} 24`, preserveAspectRatio: "none", role: "img" });
  picture.setAttribute("aria-label", visible(`distribution of ${name}`));
  picture.append(drawn("line", { x1: 0, x2: BUCKETS * 4, y1: 23.5, y2: 23.5 }));
  all.forEach((number, bucket) => {
    if (number === 0) return;
    // A single request among thousands is still seen.
    const height = Math.max(1.5, (22 * number) / most);
    picture.append(drawn("rect", { x: bucket * 4, width: 3.4, y: 23 - height, height }));
    if (failed[bucket] > 0) {
      const part = Math.max(1.5, (height * failed[bucket]) / number);
      picture.append(drawn("rect", { x: bucket * 4, width: 3.4, y: 23 - part, height: part, class: "failed" }));
    }
  });
  return picture;
}
