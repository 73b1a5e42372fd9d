// The requests: filter, points, and a list of what is selected.

const LISTED = 50;

function requestLink(id, text = `#${id}`) {
  return link(text, () => view.change({ request: id }), { "aria-haspopup": "dialog" });
}

function requestColumns(data, { tests }) {
  const { requests } = data.report;
  return [
    { key: "id", title: "#", class: "number spare", by: (index) => requests[index].id, cell: (index) => element("span", { class: "quiet" }, requests[index].id) },
    { key: "at", title: "at", class: "number spare", by: (index) => data.start[index], cell: (index) => moment(data.start[index]) },
    { key: "total", title: "total", class: "number", by: (index) => data.total[index], cell: (index) => time(data.total[index]) },
    { key: "phases", title: "phases", class: "spare", cell: (index) => stackedBar(namesOf(requests[index]), lengthsOf(requests[index])) },
    {
      key: "status", title: "status", isText: true, by: (index) => statusOf(requests[index]),
      cell: (index) => element("span", { class: data.failed[index] ? "bad" : requests[index].status >= 400 ? "warn" : undefined },
        statusOf(requests[index]), requests[index].outcome !== "complete" && element("span", { class: "warn" }, ` ${requests[index].outcome}`)),
    },
    {
      key: "calls", title: "calls", class: "number spare", by: (index) => callsOf(requests[index]),
      cell: (index) => count(callsOf(requests[index])),
    },
    {
      key: "target", title: "request", class: "target", isText: true, by: (index) => targetOf(requests[index]),
      cell: (index) => {
        const target = targetOf(requests[index]);
        // A cell shows the beginning alone; the request's own page has it whole.
        return link([dot(data, nameOf(requests[index])), target.slice(0, 300)], () => view.change({ request: requests[index].id }),
          { class: "link code", title: target.slice(0, 300), "aria-haspopup": "dialog" });
      },
    },
    tests && { key: "test", title: "test", class: "spare", cell: (index) => data.report.tests?.[requests[index].test]?.name ?? "" },
  ].filter(Boolean);
}

function callsOf(request) {
  return (request.calls?.length ?? 0) + (request.calls_not_kept ?? 0);
}

/** The phases, with the parts of `handle` in its place where it is opened. */
function namesOf(request) {
  return shownNames([request.handle]);
}

function lengthsOf({ phases, handle }) {
  return handle ? { ...handle, ...phases } : phases;
}

function requestsSection(data) {
  const { report } = data;
  if (report.requests.length === 0) return undefined;
  const points = new Points(data);
  let selected = [];
  const list = sortedTable("requests", "Requests", requestColumns(data, { tests: report.tests }), () => selected,
    { limit: LISTED, initial: "-total", chosen: (index) => report.requests[index].id === view.now.request });

  const search = element("input", {
    type: "search", placeholder: "path, status or #number", "aria-label": "Filter requests by path, status or number",
    on: { input: () => view.change({ text: search.value || undefined }) },
  });
  const errors = element("input", { type: "checkbox", on: { change: () => view.change({ errors: errors.checked || undefined }) } });
  const chips = element("span", { class: "controls chips" });
  const numbers = element("p", { class: "quiet", role: "status", id: "selected" });

  view.follow(FILTER, () => {
    const { now } = view;
    if (search.value !== (now.text ?? "")) search.value = now.text ?? "";
    errors.checked = Boolean(now.errors);
    chips.replaceChildren(...filterChips(data));
    selected = data.select(now);
    points.show(selected);
    list.fill(true);
    const of = data.kept();
    numbers.replaceChildren(visible(selected.length === report.requests.length
      ? `Shown: ${of}.` : `Selected: ${count(selected.length)} of ${of}.`));
  });
  view.whenever(["requests", "request"], () => list.fill());
  const names = shownNames(report.requests.map(({ handle }) => handle));
  return section("requests", "Requests", "draw over the points to select, click one to open it",
    element("div", { class: "controls" }, search, element("label", {}, errors, "errors only"), chips),
    points.whole, numbers, legend(names), list.whole);
}

function filterChips(data) {
  const { route, test, from, to, low, high } = view.now;
  const chip = (text, without) => element("span", { class: "chip" }, element("span", {}, text),
    element("button", { type: "button", "aria-label": `Remove the filter ${text.slice(0, 80)}`, on: { click: () => view.change(without) } }, "×"));
  const found = [];
  if (route !== undefined) found.push(chip(route.slice(0, 120), { route: undefined }));
  if (test !== undefined) found.push(chip(`in ${data.report.tests?.[test]?.name ?? test}`, { test: undefined }));
  if (from !== undefined) {
    found.push(chip(`${moment(from)} to ${moment(to)}, ${time(low)} to ${time(high)}`,
      { from: undefined, to: undefined, low: undefined, high: undefined }));
  }
  return found;
}
