// Numbers as people read them: as the report on the terminal writes them.

function significant(value) {
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/** A count: `1,234,567`. */
function count(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A count of things: `1 error`, `2,000 errors`. */
function counted(number, thing) {
  return `${count(number)} ${thing}${number === 1 ? "" : "s"}`;
}

/** A length of time in nanoseconds: `892 µs`, `1.24 ms`, `12.0 s`. */
function time(ns) {
  if (ns === undefined) return "-";
  if (ns < 0) return `-${time(-ns)}`;
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  const [unit, size] = ns < 999_500 ? ["µs", 1e3] : ns < 999_500_000 ? ["ms", 1e6] : ["s", 1e9];
  const value = ns / size;
  return `${value < 999.5 ? significant(value) : count(value)} ${unit}`;
}

/** A round length of time, without digits that say nothing: `100 ms`, `2.5 s`. */
function round(ns) {
  return time(ns).replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ");
}

/** How long a run took: `2 min 5 s`. */
function duration(ns) {
  const seconds = Math.round(ns / 1e9);
  if (seconds < 60) return time(ns);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${count(Math.floor(seconds / 3600))} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** A moment as its distance from the start of the run. */
function moment(ns) {
  return `+${(Math.max(0, ns) / 1e9).toFixed(3)} s`;
}

/** A number of bytes: `1.2 MiB`. */
function bytes(number) {
  if (number === undefined) return "-";
  if (number < 1024) return `${number} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let unit = 0;
  let value = number / 1024;
  while (value >= 1023.5) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** A share of a whole: `12%`; `<1%` for what is there and would round to nothing. */
function share(part, whole) {
  const percent = whole > 0 ? (100 * part) / whole : 0;
  return percent > 0 && percent < 0.5 ? "<1%" : `${percent.toFixed(0)}%`;
}

/** A number a second. */
function rate(number, ns) {
  if (!ns) return "-";
  const each = (number * 1e9) / ns;
  return `${each >= 999.5 ? count(each) : significant(each)}/s`;
}

/** The positions of about `wanted` round numbers between 0 and `end`. */
function ticks(end, wanted) {
  if (!(end > 0)) return [0];
  const rough = end / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let at = 0; at <= end * (1 + 1e-9); at += step) found.push(at);
  return found;
}
