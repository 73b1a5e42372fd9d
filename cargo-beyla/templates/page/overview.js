// The run at a glance: its numbers, what was found, what was judged, and what could not be seen.

function glance({ report }) {
  const { totals, duration_ns: length } = report;
  const total = totals.total_ns;
  const pair = (title, value, aside, kind) =>
    element("div", {}, element("dt", {}, title), element("dd", { class: kind }, value, aside && element("small", {}, ` ${aside}`)));
  const tests = report.tests?.length;
  return element("dl", { class: "glance" },
    pair(totals.requests === 1 ? "request" : "requests", count(totals.requests), rate(totals.requests, length)),
    tests !== undefined && pair(tests === 1 ? "test" : "tests", count(tests), failedTests(report.tests)),
    pair(totals.errors === 1 ? "error" : "errors", count(totals.errors), undefined, totals.errors > 0 ? "bad" : undefined),
    totals.incomplete > 0 && pair("incomplete", count(totals.incomplete)),
    total && pair("p50", time(total.p50)),
    total && pair("p99", time(total.p99)),
    total && pair("max", time(total.max)),
    totals.calls > 0 && pair(totals.calls === 1 ? "call" : "calls", count(totals.calls),
      totals.call_errors > 0 ? `${count(totals.call_errors)} failed` : undefined),
    pair("connections", count(totals.connections)),
    pair("run", duration(length)));
}

function failedTests(tests) {
  const failed = tests.filter(({ status }) => status !== undefined && status !== "passed").length;
  return failed > 0 ? `${count(failed)} failed` : undefined;
}

function findingsSection({ report }) {
  const { findings } = report;
  if (findings.length === 0) {
    if (report.explain === undefined) return undefined;
    return section("findings", "Findings", undefined,
      element("p", { class: "quiet" }, "Nothing was found that made requests slow."));
  }
  const items = findings.map((finding) => {
    const shown = [finding.route, ...(finding.delayed ?? []).map((row) => row.route)].filter(Boolean);
    const colon = finding.message.indexOf(": ");
    const routes = [...new Set(shown)].map((route) => link(route, () => showRequests({ route }), { class: "link code" }));
    return element("li", {},
      element("p", {}, element("span", { class: "title" }, finding.message.slice(0, colon + 1)), finding.message.slice(colon + 1)),
      finding.cure && element("p", { class: "help" }, finding.cure),
      routes.length > 0 && element("p", { class: "help" }, "Requests: ", routes.map((route, place) => [place > 0 && ", ", route])));
  });
  return section("findings", "Findings", "what cost the most time first", element("ul", { class: "findings" }, items));
}

/** Filters the requests anew, and goes there. */
function showRequests(filter) {
  const none = Object.fromEntries(FILTER.map((name) => [name, undefined]));
  view.change({ ...none, ...filter });
  const heading = document.getElementById("requests-title");
  heading.scrollIntoView();
  heading.focus({ preventScroll: true });
}

function budgetsSection({ report }) {
  if (!report.budgets) return undefined;
  const isTime = ({ metric }) => !["requests", "errors"].includes(metric);
  const subject = (value) => {
    const test = report.tests?.[value.test];
    if (test) return `${test.binary} ${test.name}`;
    return value.route === undefined ? "all" : `${value.method} ${value.route}`;
  };
  const rows = report.budgets.map((budget) => {
    const values = budget.values.slice(0, 3)
      .map((value) => `${subject(value)}: ${isTime(budget) ? time(value.value) : count(value.value)}`);
    return element("tr", {},
      element("td", { class: `nowrap ${budget.fails ? "bad" : "good"}` }, budget.verdict),
      element("td", {}, element("code", {}, budget.budget), budget.name && element("span", { class: "quiet" }, ` ${budget.name}`)),
      element("td", {}, values.join(", ")),
      element("td", {}, budget.requests.map((id, place) => [place > 0 && " ", requestLink(id)])));
  });
  return section("budgets", "Budgets", undefined, element("div", { class: "scroll" },
    element("table", { "aria-label": "Budgets" },
      element("thead", {}, element("tr", {}, ["verdict", "budget", "measured", "requests"].map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, rows))));
}

function comparisonSection({ report }) {
  const { comparison } = report;
  if (!comparison) return undefined;
  const named = (row) => (row.of === "route" ? `${row.method} ${row.route}` : `${row.binary} ${row.name}`);
  const kinds = { slower: "bad", faster: "good", new: "quiet", gone: "quiet" };
  const longest = (row) => Math.max(row.before.typical_ns ?? 0, row.now.typical_ns ?? 0);
  const side = (kind, { typical_ns: typical, count: number }, most) => [
    element("i", { class: kind, css: { width: `${most > 0 ? (100 * (typical ?? 0)) / most : 0}%` } }),
    element("span", {}, typical === undefined ? `${count(number)} seen` : time(typical)),
  ];
  const rows = comparison.rows.map((row) => {
    const change = row.change_ns;
    return element("tr", {},
      element("td", { class: `nowrap ${kinds[row.verdict] ?? ""}` }, row.verdict),
      element("td", { class: "code" }, named(row), row.of !== "route" && element("span", { class: "quiet" }, ` (${row.of.replace("test ", "")})`)),
      element("td", {}, element("div", { class: "sides" }, side("before", row.before, longest(row)), side("now", row.now, longest(row)))),
      element("td", { class: "number" }, change ? signed(change.estimate) : "-"),
      element("td", { class: "number quiet" }, change ? `${signed(change.low)} to ${signed(change.high)}` : "-"));
  });
  const legendOf = element("ul", { class: "legend sides-legend" },
    ["before", "now"].map((kind) => element("li", {}, element("i", { class: kind }), kind === "before" ? `baseline ${comparison.baseline}` : "this run")));
  return section("comparison", "Compared with the baseline", comparison.baseline, legendOf, element("div", { class: "scroll" },
    element("table", { "aria-label": "Comparison" },
      element("thead", {}, element("tr", {},
        ["verdict", "what", "typical time", "change", "with 95 % between"].map((title, place) =>
          element("th", { scope: "col", class: place > 2 && "number" }, title)))),
      element("tbody", {}, rows))));
}

function signed(ns) {
  return `${ns < 0 ? "−" : "+"}${time(Math.abs(ns))}`;
}

/** What readers must know of what is not on the page. */
function notesSection({ report }) {
  const notes = [...(report.notes ?? [])];
  if (report.explain?.unseen) notes.push(report.explain.unseen);
  const missing = report.totals.requests_not_kept;
  if (missing > 0) {
    notes.push(`${counted(missing, "request")} of ${count(report.totals.requests)} are counted in all numbers, but not kept one by `
      + "one: points, lists, histograms and flame graphs are of the slowest. --max-requests sets how many are kept.");
  }
  if (report.totals.calls_not_kept > 0) {
    notes.push(`${counted(report.totals.calls_not_kept, "call")} of ${count(report.totals.calls)} are counted, but not kept one by one.`);
  }
  if (notes.length === 0) return undefined;
  return section("notes", "What was not seen", undefined, element("ul", {}, notes.map((note) => element("li", {}, note))));
}

function footer({ report }) {
  const { target } = report;
  const started = new Date(report.started_unix_ns / 1e6).toLocaleString();
  const facts = [
    target.executable ?? target.workspace,
    target.pid !== undefined && `pid ${target.pid}`,
    target.listening?.length > 0 && `on ${target.listening.join(", ")}`,
    `began ${started}`,
    `captured by ${report.capture === "syscalls" ? "system calls" : "socket tracepoints"}`,
    `cargo-beyla ${report.version}`,
  ];
  return element("p", {}, facts.filter(Boolean).join(" · "));
}
