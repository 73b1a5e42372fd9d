// What the page shows at the moment. It stands in the address behind the `#`, so that it can be kept and shared.

const NUMBERS = ["request", "test", "from", "to", "low", "high"];
const TEXTS = ["route", "text", "frame", "routes", "requests", "tests", "calls"];

/** The view, and those who are to know when it changes. */
const view = {
  now: {},
  listeners: [],

  read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const now = {};
    for (const name of NUMBERS) {
      const number = Number(given.get(name) ?? NaN);
      if (Number.isFinite(number)) now[name] = number;
    }
    for (const name of TEXTS) {
      if (given.get(name)) now[name] = given.get(name);
    }
    if (given.has("errors")) now.errors = true;
    if (given.has("runtime")) now.runtime = true;
    const changed = new Set([...Object.keys(this.now), ...Object.keys(now)].filter((name) => this.now[name] !== now[name]));
    this.now = now;
    this.tell([...changed]);
  },

  /** Changes some of it; `undefined` takes out what was there. */
  change(changes) {
    const changed = Object.keys(changes).filter((name) => changes[name] !== this.now[name]);
    if (changed.length === 0) return;
    const now = { ...this.now, ...changes };
    for (const name of changed) if (now[name] === undefined || now[name] === false) delete now[name];
    this.now = now;
    const text = new URLSearchParams(Object.entries(now)).toString();
    history.replaceState(null, "", `#${text}`);
    this.tell(changed);
  },

  tell(changed) {
    this.listeners.forEach((listener) => listener(changed));
  },

  /** Calls whenever one of these changes. */
  whenever(names, listener) {
    this.listeners.push((changed) => {
      if (changed.some((name) => names.includes(name))) listener();
    });
  },

  /** Calls at once, and whenever one of these changes. */
  follow(names, listener) {
    this.whenever(names, listener);
    listener();
  },
};

const FILTER = ["route", "test", "errors", "text", "from", "to", "low", "high"];
