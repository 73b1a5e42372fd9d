// A row a test, its requests beneath; and what the server asked of others.

// Requests that are listed beneath a test.
const BENEATH = 50;

function testsSection(data) {
  const { report } = data;
  if (!report.tests) return undefined;
  const rows = report.tests.map((test, place) => ({ ...test, place }));
  const requestsOf = new Map();
  report.requests.forEach((request, index) => {
    if (request.test === undefined) return;
    if (!requestsOf.has(request.test)) requestsOf.set(request.test, []);
    requestsOf.get(request.test).push(index);
  });
  const open = new Set();
  const state = { passed: "good", failed: "bad", killed: "bad", "timed out": "bad" };
  const toggle = ({ place, name }) => {
    const isOpen = open.has(place);
    return element("button", {
      type: "button", class: "toggle", "aria-expanded": String(isOpen), "aria-label": `Requests of ${name}`,
      disabled: !requestsOf.has(place),
      on: { click: () => { if (isOpen) open.delete(place); else open.add(place); table.fill(); refocus(place); } },
    }, requestsOf.has(place) ? (isOpen ? "▾" : "▸") : "\u2002");
  };
  const refocus = (place) => table.whole.querySelector(`[data-test="${place}"] .toggle`)?.focus();
  const number = (key, title = key) => ({ key, title, class: "number", by: (row) => row[key], cell: (row) => count(row[key]) });
  const columns = [
    {
      key: "name", title: "test", class: "target", isText: true, by: (row) => `${row.binary} ${row.name}`,
      cell: (row) => {
        const cell = element("span", { class: "cut", title: `${row.binary} ${row.name}` }, toggle(row), element("span", { class: "quiet" }, `${row.binary} `), row.name,
          row.round !== undefined && element("span", { class: "quiet" }, ` round ${row.round + 1}`));
        cell.dataset.test = row.place;
        return cell;
      },
    },
    {
      key: "status", title: "status", isText: true, by: (row) => row.status,
      cell: (row) => element("span", { class: state[row.status] ?? "quiet" }, row.status ?? "not ended", row.reason && `: ${row.reason}`),
    },
    { key: "duration", title: "duration", class: "number", by: (row) => row.duration_ns, cell: (row) => time(row.duration_ns) },
    number("requests"), number("errors"), number("calls"),
    { key: "max", title: "slowest", class: "number spare", by: (row) => row.total_ns?.max, cell: (row) => time(row.total_ns?.max) },
    { key: "sum", title: "in requests", class: "number", by: (row) => row.sum_ns, cell: (row) => time(row.sum_ns) },
  ];
  const beneath = (row) => {
    if (!open.has(row.place)) return [];
    const indexes = requestsOf.get(row.place) ?? [];
    const lines = indexes.slice(0, BENEATH).map((index) => {
      const request = report.requests[index];
      return element("tr", { class: "beneath" },
        element("td", { class: "target" }, link(targetOf(request).slice(0, 300), () => view.change({ request: request.id }), { class: "link code", "aria-haspopup": "dialog" })),
        element("td", { class: data.failed[index] ? "bad" : "" }, statusOf(request)),
        element("td", { class: "number" }, time(request.total_ns)),
        element("td", { colspan: "5" }, stackedBar(namesOf(request), lengthsOf(request))));
    });
    const all = element("tr", { class: "beneath" }, element("td", { colspan: "8" },
      link(indexes.length > BENEATH ? `all ${count(indexes.length)} requests of this test` : "show them among all requests", () => showRequests({ test: row.place }))));
    return [...lines, all];
  };
  const table = sortedTable("tests", "Tests", columns, () => rows, { beneath, initial: "-sum" });
  view.follow(["tests"], () => table.fill());
  return section("tests", "Tests", "open one to see its requests", table.whole);
}

function callsSection(data) {
  const rows = data.report.call_summaries.filter((row) => !row.of_tests);
  if (rows.length === 0) return undefined;
  const sum = (row) => (row.total_ns?.mean ?? 0) * (row.count - row.incomplete);
  const stat = (key) => ({ key, title: key, class: `number${key === "p99" ? "" : " spare"}`, by: (row) => row.total_ns?.[key], cell: (row) => time(row.total_ns?.[key]) });
  const columns = [
    { key: "kind", title: "kind", isText: true, by: (row) => row.kind, cell: (row) => row.kind },
    { key: "peer", title: "peer", class: "spare nowrap", isText: true, by: (row) => row.peer, cell: (row) => row.peer ?? "" },
    { key: "summary", title: "call", class: "wide", isText: true, by: (row) => row.summary, cell: (row) => element("code", {}, row.summary) },
    { key: "count", title: "count", class: "number", by: (row) => row.count, cell: (row) => count(row.count) },
    { key: "errors", title: "errors", class: "number", by: (row) => row.errors, cell: (row) => element("span", { class: row.errors > 0 ? "bad" : "quiet" }, count(row.errors)) },
    stat("p50"), stat("p99"), stat("max"),
    { key: "sum", title: "all time", class: "number", by: sum, cell: (row) => (row.total_ns ? time(sum(row)) : "-") },
    {
      key: "each", title: "a request", class: "number", by: (row) => row.per_request?.mean,
      cell: ({ per_request: each }) => (each ? `${each.mean.toFixed(1)}, at most ${count(each.max)}` : "-"),
    },
  ];
  const table = sortedTable("calls", "Calls", columns, () => rows, { limit: LISTED, initial: "-sum" });
  view.follow(["calls"], () => table.fill());
  return section("calls", "Calls", "what it asked of others", table.whole);
}
