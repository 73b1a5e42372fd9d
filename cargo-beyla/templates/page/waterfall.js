// One request, opened: its phases and calls on one axis of time, and what made it slow.

// Rows of calls that are drawn at once.
const CALLS_DRAWN = 100;
// The requests that are named where one of several may have been in the way.
const HOLDERS_NAMED = 5;

function requestDialog(data) {
  const dialog = document.getElementById("request");
  let limit = CALLS_DRAWN;
  dialog.addEventListener("close", () => view.change({ request: undefined }));
  dialog.addEventListener("click", (event) => {
    // The dialog itself is what lies beneath the pointer outside of its content.
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && !event.altKey && !event.ctrlKey && !event.metaKey) neighbour(step);
  });

  function neighbour(step) {
    const { requests } = data.report;
    const next = requests[(data.indexOf.get(view.now.request) ?? 0) + step];
    if (next) view.change({ request: next.id });
  }

  function show() {
    const index = data.indexOf.get(view.now.request);
    if (index === undefined) {
      if (dialog.open) dialog.close();
      return;
    }
    const request = data.report.requests[index];
    const more = () => {
      limit = Infinity;
      show();
    };
    const target = element("h2", { id: "request-title", tabindex: "-1", class: "code" },
      element("span", { class: "quiet" }, `#${request.id} `), targetOf(request));
    dialog.replaceChildren(
      element("div", { class: "head" }, target, element("div", { class: "buttons" },
        action("←", () => neighbour(-1), { "aria-label": "The request before it", disabled: index === 0 }),
        action("→", () => neighbour(1), { "aria-label": "The request after it", disabled: index === data.report.requests.length - 1 }),
        action("Close", () => dialog.close()))),
      element("div", { class: "body" }, summaryLine(data, request), waterfall(data, index, limit, more),
        heldUp(data, index), places(request.handle), waits(request.handle), factsOf(data, request)));
    if (!dialog.open) dialog.showModal();
    target.focus({ preventScroll: true });
  }

  view.follow(["request"], () => {
    limit = CALLS_DRAWN;
    show();
  });
}

function summaryLine(data, request) {
  const index = data.indexOf.get(request.id);
  return element("p", {},
    element("strong", {}, time(request.total_ns)), " · ",
    element("span", { class: data.failed[index] ? "bad" : undefined }, statusOf(request)),
    request.outcome !== "complete" && [" · ", element("span", { class: "warn" }, request.outcome)],
    ` · ${moment(data.start[index])} · `, link(nameOf(request), () => showRequests({ route: nameOf(request) }), { class: "link code" }));
}

/** The rows: each has a name, bars on one axis, and what they sum to. */
function waterfall(data, index, limit, more) {
  const request = data.report.requests[index];
  const calls = (request.calls ?? []).map((id) => data.call(id)).filter(Boolean);
  const startOf = (row) => row.start_unix_ns - data.report.started_unix_ns - data.start[index];
  const accepted = request.accept_wait_ns > 0 && request.connected_unix_ns !== undefined;
  const connected = accepted ? request.connected_unix_ns - data.report.started_unix_ns - data.start[index] : 0;
  const begin = Math.min(0, connected, ...calls.map(startOf));
  const end = Math.max(request.total_ns, ...calls.map((call) => startOf(call) + call.total_ns), 1);
  const whole = end - begin;
  const marks = marksBetween(begin, end);
  const place = (ns) => (100 * (ns - begin)) / whole;
  const lines = marks.map((ns) => `linear-gradient(var(--line), var(--line)) ${place(ns)}% 0 / 1px 100% no-repeat`);
  const grid = element("div", { class: "waterfall", css: { "--grid": lines.join(", ") } });

  const bar = (kind, from, ns) => {
    const made = element("i", { class: kind, title: `${kind} ${time(ns)}`,
      css: { left: `${place(from)}%`, width: `${(100 * ns) / whole}%` } });
    made.dataset.ns = ns;
    return made;
  };
  const row = (name, bars, ns, { inner, kind = "", title } = {}) => append(grid, [
    element("div", { class: inner ? "name inner-name" : "name", title: title ?? undefined }, name),
    element("div", { class: `track ${kind}`, role: "img", "aria-label": `${title ?? "bar"} ${time(ns)}` }, bars),
    element("div", { class: "value" }, time(ns)),
  ]);
  const inOrder = (names, lengths, from) => {
    let at = from;
    return names.filter((name) => lengths[name] !== undefined).map((name) => {
      const made = bar(name, at, lengths[name]);
      at += lengths[name];
      return made;
    });
  };

  append(grid, [element("div"), axis(marks, place), element("div")]);
  if (accepted) row("accept wait", bar("accept", connected, request.accept_wait_ns), request.accept_wait_ns, { title: "accept wait" });
  let at = 0;
  for (const phase of PHASES) {
    const ns = request.phases[phase];
    if (ns === undefined) continue;
    row(phase, bar(phase, at, ns), ns, { title: phase, kind: "phase" });
    if (phase === "handle" && request.handle) opened(PARTS, request.handle, at);
    if (phase === "respond" && request.respond) opened(RESPOND_PARTS, request.respond, at);
    at += ns;
  }

  function opened(names, lengths, from) {
    const long = names.filter((name) => lengths[name] > 0);
    row(long.join(" + "), inOrder(long, lengths, from), names.reduce((sum, name) => sum + lengths[name], 0),
      { inner: true, kind: "parts", title: "its parts" });
  }

  for (const call of calls.slice(0, limit)) {
    const name = [call.error && element("span", { class: "bad" }, "✗ "), `${call.kind} ${call.summary}`];
    const title = [call.kind, call.text ?? call.summary, call.peer, call.status, call.error && "failed"].filter(Boolean).join(" · ");
    row(name, inOrder(CALL_PHASES, call.phases, startOf(call)), call.total_ns, { kind: "call", title: title.slice(0, 600) });
  }
  const hidden = calls.length - Math.min(limit, calls.length);
  return element("div", {}, grid,
    hidden > 0 && element("p", { class: "controls" }, element("span", { class: "quiet" }, `${counted(hidden, "call")} more`), action("Show all", more)),
    request.calls_not_kept > 0 && element("p", { class: "quiet" }, `${counted(request.calls_not_kept, "call")} more that were not kept`),
    partsTable("handle", PARTS, request.handle), partsTable("respond", RESPOND_PARTS, request.respond),
    calls.length > 0 && legend(CALL_PHASES), callTable(data, calls, startOf, limit));
}

/** Round numbers from `begin`, which is 0 or before it, to `end`. */
function marksBetween(begin, end) {
  const [, step = end] = ticks(end - begin, 5);
  const found = [];
  for (let number = Math.ceil(begin / step); number * step <= end; number += 1) found.push(number * step);
  return found;
}

function axis(marks, place) {
  return element("div", { class: "axis", "aria-hidden": "true" }, marks.map((ns, number) => {
    const at = place(ns);
    // Every other one gives way where there is little room, and those at the ends stay within.
    const classes = [at < 4 && "first", at > 94 && "last", number % 2 === 1 && "spare"].filter(Boolean).join(" ");
    return element("span", { class: classes || undefined, css: { left: `${at}%` } }, ns === 0 ? "0" : round(ns));
  }));
}

/** Parts are known by their sums: their bars stand side by side, not where they were. */
function partsTable(phase, names, lengths) {
  if (!lengths) return undefined;
  const items = names.filter((name) => lengths[name] > 0)
    .map((name) => element("li", {}, element("i", { class: name }), `${name} ${time(lengths[name])}`));
  return element("ul", { class: "legend" }, element("li", {}, `parts of ${phase}, in sums:`), items);
}

function callTable(data, calls, startOf, limit) {
  if (calls.length === 0) return undefined;
  const rows = calls.slice(0, limit).map((call) => element("tr", {},
    element("td", { class: "number" }, moment(startOf(call))),
    element("td", { class: "number" }, time(call.total_ns)),
    element("td", { class: "nowrap" }, call.kind),
    element("td", { class: "wide" }, element("code", {}, call.text ?? call.summary),
      call.certainty === "likely" && element("span", { class: "quiet" }, " likely this request's"),
      call.served !== undefined && [" ", requestLink(call.served, `served by #${call.served}`)]),
    element("td", { class: "nowrap spare" }, call.peer),
    element("td", { class: "number spare" }, call.rows === undefined ? "" : counted(call.rows, "row")),
    element("td", { class: call.error ? "bad nowrap" : "nowrap" }, call.status ?? "", call.outcome !== "complete" && ` ${call.outcome}`)));
  return element("details", {}, element("summary", {}, `Its ${counted(calls.length, "call")} as a table`),
    element("div", { class: "scroll" }, element("table", { "aria-label": "Calls" }, element("tbody", {}, rows))));
}

/** Whose polls held it up. The report names routes; the requests of that route that were at work then are looked up. */
function heldUp(data, index) {
  const request = data.report.requests[index];
  const delays = request.handle?.delays ?? [];
  if (delays.length === 0) return undefined;
  const span = [data.start[index], data.start[index] + data.total[index]];
  const items = delays.map(({ by, ns }) => {
    const found = data.atWork(by, span, request);
    const links = found.slice(0, HOLDERS_NAMED).map((other, place) => [place > 0 && ", ", requestLink(data.report.requests[other].id)]);
    const more = found.length > HOLDERS_NAMED && ` and ${count(found.length - HOLDERS_NAMED)} more`;
    return element("li", {}, `${time(ns)} by `, element("code", {}, by),
      found.length > 0 && [element("span", { class: "quiet" }, found.length === 1 ? ": then at work was " : ": then at work were "), links, more]);
  });
  return element("div", {}, element("h3", {}, "Who held it up"), element("ul", { class: "tree" }, items));
}

function placeText(place) {
  const what = place.cause === "page-fault" ? "a page fault" : place.call ?? (place.system_call && `the system call ${place.system_call}`);
  const parts = [place.cause === "running" && place.file ? undefined : what, place.file && `at ${fileOf(place)}`,
    place.function && `in ${place.function}`];
  return parts.filter(Boolean).join(" ") || place.cause;
}

function placeItem(place) {
  const isRunning = place.cause === "running";
  const times = isRunning ? "" : place.count > 1 ? `, ${counted(place.count, "time")}` : "";
  return element("li", {}, element("i", { class: `dot ${isRunning ? "running" : "blocked"}` }),
    `${isRunning ? "ran about" : "blocked"} ${time(place.ns)}${times}: `, element("code", {}, placeText(place)));
}

function places(handle) {
  if (!handle?.places) return undefined;
  return element("div", {}, element("h3", {}, "Where"), element("ul", { class: "tree" }, handle.places.map(placeItem)));
}

function waits(handle) {
  if (!handle?.waits && !handle?.calls) return undefined;
  const ofCalls = (handle.calls ?? []).map((wait) => element("li", {}, element("i", { class: "dot waiting" }),
    `${time(wait.ns)} for ${wait.count > 1 ? `${count(wait.count)} × ` : ""}`, element("code", {}, `${wait.kind} ${wait.summary}`)));
  return element("div", {}, element("h3", {}, "What it waited for"),
    element("ul", { class: "tree" }, ofCalls, (handle.waits ?? []).map(waitItem)));
}

function waitItem(wait) {
  const parts = PARTS.filter((name) => wait.parts[name] > 0).map((name) => `${name} ${time(wait.parts[name])}`).join(", ");
  const inner = [...(wait.places ?? []).map(placeItem), ...(wait.waits ?? []).map(waitItem)];
  return element("li", {}, element("i", { class: "dot waiting" }), `${time(wait.ns)} on `, element("code", {}, wait.on),
    wait.count > 1 && `, ${counted(wait.count, "time")}`, parts && element("span", { class: "quiet" }, ` (it: ${parts})`),
    inner.length > 0 && element("ul", {}, inner));
}

function factsOf(data, request) {
  const size = (message) => message && `${bytes(message.header)} header, ${message.body === undefined ? "body not seen to its end" : `${bytes(message.body)} body`}`;
  const test = data.report.tests?.[request.test];
  const { grpc, tls } = request;
  const facts = [
    ["protocol", [request.protocol, request.scheme, request.stream !== undefined && `stream ${request.stream}`].filter(Boolean).join(", ")],
    ["query", request.query !== undefined && element("code", { class: "long", css: { display: "block" } }, request.query)],
    ["test", test && link(`${test.binary} ${test.name}`, () => showRequests({ test: request.test }))],
    ["gRPC", grpc && [`${grpc.service}/${grpc.method}`, grpc.request_messages !== undefined && `${count(grpc.request_messages)} in`,
      grpc.response_messages !== undefined && `${count(grpc.response_messages)} out`,
      grpc.timeout_ns !== undefined && `deadline ${time(grpc.timeout_ns)}`].filter(Boolean).join(", ")],
    ["request", size(request.request_bytes)],
    ["response", size(request.response_bytes)],
    ["client", request.client],
    ["server", request.server],
    ["proxy", request.proxy],
    ["connection", `${request.connection}${request.pid === undefined ? "" : `, process ${request.pid}`}`],
    ["TLS", tls && [tls.version, tls.cipher, tls.library, tls.alpn, tls.server_name,
      tls.handshake_ns !== undefined && `handshake ${time(tls.handshake_ns)}`].filter(Boolean).join(", ")],
    ["trace id", request.trace_id && element("code", {}, request.trace_id)],
    ["span id", request.span_id && element("code", {}, request.span_id)],
    ["measured on", request.handle && `the ${request.handle.unit}`],
  ].filter(([, value]) => value);
  return element("div", {}, element("h3", {}, "Facts"),
    element("dl", { class: "facts" }, facts.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
}
