// Wires controls, drawings and numbers; all arithmetic happens here, Python hears of it when a hand lets go.

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".quantizer");
  const bench = root.bench ?? (root.bench = new Bench(root));
  bench.tell = (state) => setStateValue("state", state);
  bench.take(data);
  return () => bench.watch.disconnect();
}

class Bench {
  constructor(root) {
    this.root = root;
    this.svg = { values: root.querySelector(".values"), errors: root.querySelector(".errors") };
    for (const control of root.querySelectorAll("[data-set]")) {
      control.addEventListener("input", () => this.set(control));
      control.addEventListener("change", () => this.report());
    }
    for (const button of root.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => { this.move(button.dataset.do); this.report(); });
    }
    this.svg.values.addEventListener("pointerdown", (event) => this.drag(event));
    this.svg.errors.addEventListener("click", (event) => {
      this.scaleTo(Math.max(this.curveScale.share(this.pixel(event, this.svg.errors)), 0.02));
      this.report();
    });
    this.watch = new ResizeObserver(() => this.state && this.draw());
  }

  // New data only when the tensor changed: a rerun of the page must not undo what a hand has set.
  take(data) {
    this.watch.observe(this.root);
    this.root.classList.toggle("fixed", Boolean(data.fixed));
    if (this.tensor === data.tensor) return;
    this.tensor = data.tensor;
    const bytes = Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0));
    this.x = new Float32Array(bytes.buffer);
    this.low = this.x.reduce((a, b) => Math.min(a, b), 0);
    this.high = this.x.reduce((a, b) => Math.max(a, b), 0);
    if (this.low === this.high) this.high = this.low + 1;
    this.stored = data.stored;
    this.name = data.name;
    this.channels = data.channels;
    this.own = data.own;
    this.title();
    this.state = { logarithmic: false, ...data.state };
    const reach = 0.06 * (this.high - this.low);
    this.view = [Math.min(this.low, this.state.low) - reach, Math.max(this.high, this.state.high) + reach];
    this.bins = binned(this.x, this.view[0], this.view[1], BINS);
    this.fill();
    this.draw();
  }

  // Whose SQNR each card shows.
  title() {
    const names = { sqnr: this.channels > 1 ? "SQNR, one grid" : "SQNR", channels: `SQNR, ${this.channels} grids`, own: this.own?.name };
    for (const name of this.root.querySelectorAll("[data-name]")) name.textContent = names[name.dataset.name] ?? "";
    for (const card of this.root.querySelectorAll("[data-card]")) {
      card.hidden = card.dataset.card === "own" ? !this.own : !(this.channels > 1);
    }
  }

  fill() {
    for (const control of this.root.querySelectorAll("[data-set]")) {
      const value = this.state[control.dataset.set];
      if (control.type === "range" && control.dataset.set !== "bits") {
        [control.min, control.max] = this.view;
        control.step = (this.view[1] - this.view[0]) / 1000;
      }
      if (control.type === "checkbox") control.checked = value;
      else control.value = value;
    }
    const lever = this.root.querySelector("[data-set=powerOfTwo]");
    lever.disabled = this.state.kind === "asymmetric";
  }

  set(control) {
    const name = control.dataset.set;
    this.state[name] = control.type === "checkbox" ? control.checked : name === "kind" ? control.value : Number(control.value);
    if (this.state.kind === "asymmetric") this.state.powerOfTwo = false;
    this.state.low = Math.min(this.state.low, 0);
    this.state.high = Math.max(this.state.high, 0);
    this.fill();
    this.draw();
  }

  move(where) {
    if (where === "stored") [this.state.low, this.state.high] = this.stored;
    else return this.scaleTo(where === "best" ? this.best.share : 1);
    this.fill();
    this.draw();
  }

  scaleTo(share) {
    this.state.low = share * this.low;
    this.state.high = share * this.high;
    this.fill();
    this.draw();
  }

  pixel(event, svg) {
    const box = svg.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
  }

  drag(event) {
    const end = event.target.closest?.(".handle")?.dataset.end;
    if (!end) return;
    event.preventDefault();
    const move = (e) => {
      const value = this.valueScale.value(this.pixel(e, this.svg.values));
      this.state[end] = end === "low" ? Math.min(value, 0) : Math.max(value, 0);
      this.fill();
      this.draw();
    };
    const stop = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", stop);
      this.report();
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", stop);
  }

  draw() {
    const began = performance.now(), s = this.state, width = Math.max(this.root.clientWidth, 240);
    const grid = makeGrid(s, s.low, s.high), error = errorOf(this.x, grid);
    const asked = `${this.tensor} ${s.kind} ${s.bits} ${s.powerOfTwo}`;
    if (this.asked !== asked) {
      this.asked = asked;
      this.curve = errorCurve(this.x, s, this.low, this.high);
      this.best = this.curve.reduce((a, b) => (b.mse < a.mse ? b : a));
    }
    const share = (s.high - s.low) / (this.high - this.low);
    const model = { ...s, grid, error, share, view: this.view, bins: this.bins, codes: landed(this.x, grid), curve: this.curve, best: this.best };
    this.valueScale = drawValues(this.svg.values, model, width);
    this.curveScale = drawCurve(this.svg.errors, model, width);
    this.write(grid, error);
    this.root.dataset.milliseconds = (performance.now() - began).toFixed(2);
  }

  write(grid, error) {
    const decibels = (v) => (v === Infinity ? "no error" : `${v.toFixed(2)} dB`);
    const share = (part) => `${error.mse ? Math.round((100 * part) / error.mse) : 0} % of it`;
    const percent = (v) => `${(100 * v).toFixed(v && v < 0.01 ? 2 : 1)} %`;
    const show = {
      bits: this.state.bits,
      low: short(this.state.low),
      high: short(this.state.high),
      sqnr: decibels(error.sqnr),
      channels: this.channels > 1 ? decibels(this.byChannel()) : "",
      own: this.own?.sqnr[this.state.bits] ?? "not measured",
      mse: short(error.mse, 4),
      root: short(Math.sqrt(error.mse)),
      rounding: short(error.rounding, 4),
      roundingShare: share(error.rounding),
      clipping: short(error.clipping, 4),
      clippingShare: share(error.clipping),
      clipped: percent(error.clipped),
      count: `${Math.round(error.clipped * this.x.length).toLocaleString("en")} of ${this.x.length.toLocaleString("en")}`,
      grid: `${short(grid.scale)} · ${grid.zero}`,
    };
    for (const out of this.root.querySelectorAll("[data-show]")) out.value = show[out.dataset.show];
    const parts = this.root.querySelectorAll(".split i");
    parts[0].style.flexGrow = error.mse ? error.rounding / error.mse : 1;
    parts[1].style.flexGrow = error.mse ? error.clipping / error.mse : 0;
    this.svg.values.setAttribute("aria-label",
      `${this.x.length} values of ${this.name} on a grid of ${2 ** this.state.bits} points: SQNR ${show.sqnr}, ${show.clipped} clipped.`);
    this.svg.errors.setAttribute("aria-label",
      `Mean squared error over the clip: smallest, ${short(this.best.mse)}, at ${Math.round(100 * this.best.share)} % of the full range.`);
  }

  byChannel() {
    const s = this.state, share = (end, full) => (full ? end / full : 1);
    return channelSqnr(this.x, this.channels, s, share(s.low, this.low), share(s.high, this.high));
  }

  report() {
    const { bits, kind, powerOfTwo, low, high } = this.state;
    this.tell({ bits, kind, powerOfTwo, low, high });
  }
}
