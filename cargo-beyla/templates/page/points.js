// All requests as points: when they began, how long they took. Drawing over them selects.

const MARGIN = { left: 62, right: 14, top: 12, bottom: 28 };
// A pointer nearer than this to a point means it, in CSS pixels.
const REACH = 9;

class Points {
  constructor(data) {
    this.data = data;
    this.scale = scaleOf(data);
    this.selected = [];
    this.current = undefined;
    this.dots = element("canvas", { "aria-hidden": "true" });
    this.over = element("canvas", {
      class: "brush", tabindex: "0", role: "img",
      "aria-label": "Requests by time and latency. Arrow keys go from request to request, Enter opens one. The list below has the same requests.",
      on: {
        pointerdown: (event) => this.down(event), pointermove: (event) => this.move(event),
        pointerup: (event) => this.up(event), pointerleave: () => hint(""), keydown: (event) => this.key(event),
        pointercancel: () => { this.begun = undefined; this.drawBrush(); },
      },
    });
    this.whole = element("div", { class: "points" }, this.dots, this.over);
    new ResizeObserver(() => this.draw()).observe(this.whole);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(selected) {
    this.selected = selected;
    this.draw();
  }

  x(ns) {
    return MARGIN.left + (ns / this.data.end) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(ns) {
    const { low, high } = this.scale;
    const part = Math.log10(Math.max(ns, low) / low) / Math.log10(high / low);
    return this.height - MARGIN.bottom - part * (this.height - MARGIN.top - MARGIN.bottom);
  }

  /** The moment and the length at a place of the canvas. */
  at({ x, y }) {
    const { low, high } = this.scale;
    const across = (x - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right);
    const up = (this.height - MARGIN.bottom - y) / (this.height - MARGIN.top - MARGIN.bottom);
    return [across * this.data.end, low * (high / low) ** up];
  }

  prepare(canvas) {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return context;
  }

  draw() {
    [this.width, this.height] = [this.whole.clientWidth, this.whole.clientHeight];
    if (this.width < 100 || this.height < 60) return;
    const context = this.prepare(this.dots);
    this.drawAxes(context);
    const { start, total, route, failed } = this.data;
    const isAll = this.selected.length === start.length;
    const size = start.length > 20_000 ? 2 : start.length > 2_000 ? 3 : 5;
    if (!isAll) {
      context.fillStyle = color("dim");
      for (let index = 0; index < start.length; index += 1) {
        context.fillRect(this.x(start[index]) - size / 2, this.y(total[index]) - size / 2, size, size);
      }
    }
    const colors = this.data.routes.map((_, place) => color(this.data.colorOf(place)));
    const broken = [];
    for (const index of this.selected) {
      context.fillStyle = colors[route[index]];
      context.fillRect(this.x(start[index]) - size / 2, this.y(total[index]) - size / 2, size, size);
      if (failed[index]) broken.push(index);
    }
    context.strokeStyle = color("blocked");
    context.lineWidth = 1.5;
    context.beginPath();
    for (const index of broken) {
      const [x, y, arm] = [this.x(start[index]), this.y(total[index]), size / 2 + 2.5];
      context.moveTo(x - arm, y - arm);
      context.lineTo(x + arm, y + arm);
      context.moveTo(x + arm, y - arm);
      context.lineTo(x - arm, y + arm);
    }
    context.stroke();
    this.drawBrush();
  }

  drawAxes(context) {
    const style = getComputedStyle(document.body);
    context.font = `12px ${style.fontFamily}`;
    context.fillStyle = color("quiet");
    context.strokeStyle = color("line");
    context.lineWidth = 1;
    const { low, high } = this.scale;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.beginPath();
    for (let ns = low; ns <= high * 1.001; ns *= 10) {
      const y = Math.round(this.y(ns)) + 0.5;
      context.moveTo(MARGIN.left, y);
      context.lineTo(this.width - MARGIN.right, y);
      context.fillText(round(ns), MARGIN.left - 8, y);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const ns of ticks(this.data.end, Math.max(2, Math.floor(this.width / 160)))) {
      const x = Math.round(this.x(ns)) + 0.5;
      context.moveTo(x, this.height - MARGIN.bottom);
      context.lineTo(x, this.height - MARGIN.bottom + 4);
      context.fillText(ns === 0 ? "0" : round(ns), x, this.height - MARGIN.bottom + 8);
    }
    context.stroke();
  }

  drawBrush() {
    if (!this.width) return;
    const context = this.prepare(this.over);
    const [a, b] = this.begun && this.ended ? [this.begun, this.ended] : this.corners();
    if (a) {
      context.fillStyle = color("accent");
      context.globalAlpha = 0.12;
      context.fillRect(Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(b.x - a.x), Math.abs(b.y - a.y));
      context.globalAlpha = 1;
      context.strokeStyle = color("accent");
      context.strokeRect(Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(b.x - a.x), Math.abs(b.y - a.y));
    }
    if (this.current !== undefined) {
      const { start, total } = this.data;
      context.strokeStyle = color("text");
      context.lineWidth = 2;
      context.beginPath();
      context.arc(this.x(start[this.current]), this.y(total[this.current]), 7, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** The corners of what is selected, if something is. */
  corners() {
    const { from, to, low, high } = view.now;
    if (from === undefined || low === undefined) return [];
    return [{ x: this.x(from), y: this.y(high) }, { x: this.x(to), y: this.y(low) }];
  }

  nearest(place) {
    const { start, total } = this.data;
    let [found, least] = [undefined, REACH * REACH];
    for (const index of this.selected) {
      const [x, y] = [this.x(start[index]) - place.x, this.y(total[index]) - place.y];
      const distance = x * x + y * y;
      if (distance < least) [found, least] = [index, distance];
    }
    return found;
  }

  down(event) {
    if (event.button !== 0) return;
    this.begun = { x: event.offsetX, y: event.offsetY };
    this.ended = undefined;
    this.over.setPointerCapture(event.pointerId);
  }

  move(event) {
    const place = { x: event.offsetX, y: event.offsetY };
    if (this.begun) {
      const far = Math.abs(place.x - this.begun.x) + Math.abs(place.y - this.begun.y) > 6;
      if (far || this.ended) {
        this.ended = place;
        this.drawBrush();
      }
      return;
    }
    const index = this.nearest(place);
    this.over.style.setProperty("cursor", index === undefined ? "" : "pointer");
    hint(index === undefined ? "" : this.describe(index), event);
  }

  describe(index) {
    const request = this.data.report.requests[index];
    return `#${request.id} ${time(request.total_ns)} ${statusOf(request)} ${targetOf(request).slice(0, 200)}`;
  }

  up(event) {
    const [begun, ended] = [this.begun, this.ended];
    [this.begun, this.ended] = [undefined, undefined];
    if (!begun) return;
    if (ended) {
      const [[from, high], [to, low]] = [
        this.at({ x: Math.min(begun.x, ended.x), y: Math.min(begun.y, ended.y) }),
        this.at({ x: Math.max(begun.x, ended.x), y: Math.max(begun.y, ended.y) }),
      ];
      view.change({ from: Math.max(0, Math.floor(from)), to: Math.ceil(to), low: low < this.scale.low * 1.02 ? 0 : Math.floor(low), high: Math.ceil(high) });
      this.drawBrush();
      return;
    }
    const index = this.nearest({ x: event.offsetX, y: event.offsetY });
    if (index !== undefined) {
      this.current = index;
      view.change({ request: this.data.report.requests[index].id });
    } else {
      view.change({ from: undefined, to: undefined, low: undefined, high: undefined });
    }
    this.drawBrush();
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key === "Enter" && this.current !== undefined) {
      view.change({ request: this.data.report.requests[this.current].id });
    } else if (event.key === "Escape") {
      view.change({ from: undefined, to: undefined, low: undefined, high: undefined });
    } else if (event.key in steps && this.selected.length > 0) {
      const inOrder = this.order();
      const before = inOrder.indexOf(this.current);
      const after = before < 0 ? 0 : Math.min(inOrder.length - 1, Math.max(0, before + steps[event.key]));
      this.current = inOrder[after];
      this.over.setAttribute("aria-label", visible(this.describe(this.current)));
    } else {
      return;
    }
    event.preventDefault();
    this.drawBrush();
  }

  /** What is selected, in the order in which it began. */
  order() {
    if (this.ordered?.of !== this.selected) {
      const { start } = this.data;
      this.ordered = { of: this.selected, list: [...this.selected].sort((a, b) => start[a] - start[b]) };
    }
    return this.ordered.list;
  }
}
