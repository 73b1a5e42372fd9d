// The report that the page carries, and what is derived of it once. Its fields are those of docs/json-report.md.

const PHASES = ["queue", "receive", "handle", "respond"];
const PARTS = ["running", "runnable", "blocked", "scheduled", "waiting"];
const RESPOND_PARTS = [...PARTS, "client"];
const CALL_PHASES = ["connect", "send", "wait", "pickup", "receive"];

// As OpenTelemetry's conventions count errors of a server.
const GRPC_STATUS = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
  "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"];
const GRPC_ERRORS = [2, 4, 12, 13, 14, 15];

/** Unpacks the report. */
async function unpack() {
  const holder = document.getElementById("report");
  const text = holder.textContent.trim();
  holder.remove();
  const packed = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : fromBase64(text);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function fromBase64(text) {
  const characters = atob(text);
  const packed = new Uint8Array(characters.length);
  for (let at = 0; at < packed.length; at += 1) packed[at] = characters.charCodeAt(at);
  return packed;
}

function isError(request) {
  return request.status >= 500 || GRPC_ERRORS.includes(request.grpc?.status) || request.outcome === "server closed";
}

function statusOf(request) {
  const grpc = request.grpc?.status;
  if (grpc !== undefined) return GRPC_STATUS[grpc] ?? String(grpc);
  return request.status === undefined ? "-" : String(request.status);
}

/** Method, path and query as they were sent. */
function targetOf({ method, path, query }) {
  return query === undefined ? `${method} ${path}` : `${method} ${path}?${query}`;
}

/** File and line; of a crate of a registry, and of Rust's own sources, without the folder that all of these share. */
function fileOf({ file, line }) {
  const known = file.replace(/^.*\/registry\/src\/[^/]+\//, "").replace(/^\/rustc\/[0-9a-f]+\//, "");
  return `${known}:${line}`;
}

function nameOf(route) {
  return `${route.method} ${route.route}`;
}

function byId(rows, id) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return rows[low]?.id === id ? rows[low] : undefined;
}

/** What the parts of the page share. */
class Data {
  constructor(report) {
    this.report = report;
    const { requests } = report;
    // In nanoseconds from the start of the run. The moments in the report are beyond what a double holds exactly, so
    // these are right to 256 ns; lengths are exact.
    this.start = new Float64Array(requests.length);
    this.total = new Float64Array(requests.length);
    this.route = new Uint32Array(requests.length);
    this.failed = new Uint8Array(requests.length);
    this.routes = report.routes.map((row) => ({ name: nameOf(row), row, kept: [] }));
    const places = new Map(this.routes.map(({ name }, place) => [name, place]));
    requests.forEach((request, index) => {
      const name = nameOf(request);
      let place = places.get(name);
      if (place === undefined) {
        place = this.routes.length;
        places.set(name, place);
        this.routes.push({ name, kept: [] });
      }
      this.start[index] = request.start_unix_ns - report.started_unix_ns;
      this.total[index] = request.total_ns;
      this.route[index] = place;
      this.failed[index] = isError(request) ? 1 : 0;
      this.routes[place].kept.push(index);
    });
    this.indexOf = new Map();
    requests.forEach((request, index) => this.indexOf.set(request.id, index));
    this.stacks = new Map((report.stacks ?? []).map((stack) => [stack.id, stack.frames]));
    // Where the axis of time ends.
    this.end = this.start.reduce((end, start) => Math.max(end, start), 1e6);
  }

  call(id) {
    return byId(this.report.calls, id);
  }

  /** The colour of a route, by its place in the report: the one with the most time first. */
  colorOf(route) {
    return route < 10 ? `route-${route}` : "route-other";
  }

  /** How much of what was counted is here one by one. */
  kept() {
    const { requests, requests_not_kept: missing } = this.report.totals;
    const kept = this.report.requests.length;
    if (missing > 0) return `the ${count(kept)} slowest of ${count(requests)} requests`;
    return kept === 1 ? "the only request" : `all ${count(kept)} requests`;
  }

  /** The requests that fit the view, as places in the report. */
  select({ route, test, errors, text, from, to, low, high }) {
    const { requests } = this.report;
    const wanted = text?.toLowerCase();
    const place = route === undefined ? undefined : this.routes.findIndex(({ name }) => name === route);
    const found = [];
    for (let index = 0; index < requests.length; index += 1) {
      if (place !== undefined && this.route[index] !== place) continue;
      if (errors && !this.failed[index]) continue;
      if (test !== undefined && requests[index].test !== test) continue;
      if (from !== undefined && !(this.start[index] >= from && this.start[index] <= to)) continue;
      if (low !== undefined && !(this.total[index] >= low && this.total[index] <= high)) continue;
      if (wanted && !matches(requests[index], wanted)) continue;
      found.push(index);
    }
    return found;
  }

  /** Requests of a route in whose `handle` and `respond` a span of time lies, at least in part. */
  atWork(routeName, [begin, end], except) {
    const route = this.routes.find(({ name }) => name === routeName);
    return (route?.kept ?? []).filter((index) => {
      const { id, pid, phases } = this.report.requests[index];
      const begun = this.start[index] + (phases.queue ?? 0) + (phases.receive ?? 0);
      const ended = this.start[index] + this.total[index];
      return id !== except.id && pid === except.pid && begun < end && ended > begin;
    });
  }
}

function matches(request, wanted) {
  return `#${request.id}` === wanted || statusOf(request).toLowerCase() === wanted
    || targetOf(request).toLowerCase().includes(wanted);
}
