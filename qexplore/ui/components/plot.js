// Two drawings in SVG: values over their grid, and the error over the clip.

const NS = "http://www.w3.org/2000/svg";
const BINS = 120, MOST_LINES = 64, PAD = 14;

function node(name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function clear(svg, width, height) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
}

function niceTicks(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9 * step; t += step) ticks.push(Number(t.toPrecision(12)));
  return ticks;
}

const raised = (power) => String(power).replace(/[-0-9]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));

// Any number in `digits` digits as a class reads it: 0.008137, 1.24 × 10⁻⁵.
function short(v, digits = 3) {
  if (v === 0) return "0";
  const [mantissa, power] = v.toExponential(digits - 1).split("e").map(Number);
  if (power < -4 || power >= 5) return `${mantissa} × 10${raised(power)}`;
  return String(Number(v.toPrecision(digits)));
}

function axis(svg, x, ticks, y, label) {
  for (const t of ticks) {
    svg.append(node("line", { x1: x(t), x2: x(t), y1: y, y2: y + 4, class: "axis" }));
    svg.append(node("text", { x: x(t), y: y + 16, class: "tick", "text-anchor": "middle" }, short(t)));
  }
  const [, , width] = svg.getAttribute("viewBox").split(" ").map(Number);
  svg.append(node("text", { x: width - PAD, y: y + 31, class: "tick", "text-anchor": "end" }, label));
}

// Above the axis the values, below it where they land. Returns the scale, for dragging.
function drawValues(svg, model, width) {
  const height = 330, middle = 200, foot = 292;
  clear(svg, width, height);
  const [from, to] = model.view;
  const x = (v) => PAD + ((v - from) / (to - from)) * (width - 2 * PAD);
  const [low, high] = spanOf(model.grid);
  zone(svg, PAD, x(low), height - 38);
  zone(svg, x(high), width - PAD, height - 38);
  const tall = (count, most, room) => (count ? Math.max(1, room * (model.logarithmic ? Math.log1p(count) / Math.log1p(most) : count / most)) : 0);
  const counts = model.bins, most = Math.max(...counts), step = (to - from) / counts.length;
  counts.forEach((count, i) => {
    const at = from + i * step, centre = at + step / 2, h = tall(count, most, middle - 12);
    const kind = centre < low || centre > high ? "bar clipped" : "bar";
    svg.append(node("rect", { x: x(at), y: middle - h, width: Math.max(x(at + step) - x(at) - 0.6, 0.4), height: h, class: kind }));
  });
  lines(svg, model, x, middle);
  const codes = model.codes, top = Math.max(...codes);
  codes.forEach((count, i) => {
    const at = x(model.grid.scale * (model.grid.first + i - model.grid.zero)), h = tall(count, top, foot - middle - 10);
    if (count) svg.append(node("line", { x1: at, x2: at, y1: middle + 2, y2: middle + 2 + h, class: "stem" }));
  });
  svg.append(node("line", { x1: PAD, x2: width - PAD, y1: middle, y2: middle, class: "axis" }));
  axis(svg, x, niceTicks(from, to, width < 480 ? 4 : 8), foot, "value");
  handle(svg, x(model.low), foot, "low", "low end of the range");
  handle(svg, x(model.high), foot, "high", "high end of the range");
  svg.append(node("text", { x: PAD, y: foot + 31, class: "tick" }, "above: the values; below: where they land"));
  return { x, value: (pixel) => from + ((pixel - PAD) / (width - 2 * PAD)) * (to - from) };
}

function zone(svg, a, b, height) {
  if (b > a) svg.append(node("rect", { x: a, y: 0, width: b - a, height, class: "zone" }));
}

function lines(svg, model, x, middle) {
  const { scale, zero, first, last } = model.grid;
  if (last - first + 1 > MOST_LINES) return;
  for (let code = first; code <= last; code++) {
    const at = x(scale * (code - zero));
    svg.append(node("line", { x1: at, x2: at, y1: 14, y2: middle, class: code === zero ? "grid zero" : "grid" }));
  }
}

function handle(svg, at, foot, name, label) {
  const group = node("g", { class: "handle", "data-end": name });
  group.append(node("title", {}, `Drag: ${label}`));
  group.append(node("line", { x1: at, x2: at, y1: 14, y2: foot, class: "end" }));
  group.append(node("rect", { x: at - 14, y: 0, width: 28, height: foot, fill: "transparent" }));
  group.append(node("circle", { cx: at, cy: 18, r: 8, class: "knob" }));
  svg.append(group);
}

// Mean squared error over the share of the full range, logarithmic; the smallest one and the present one marked.
function drawCurve(svg, model, width) {
  const height = 230, foot = 186, head = 14;
  clear(svg, width, height);
  const curve = model.curve, shown = curve.flatMap((c) => [c.mse, c.rounding]).concat(model.error.mse).filter((v) => v > 0);
  const least = Math.min(...shown), most = Math.max(...shown, least * 1.01);
  const x = (share) => 52 + ((share - 0.02) / 1.1) * (width - 66);
  const y = (v) => foot - (Math.log(Math.max(v, least) / least) / Math.log(most / least)) * (foot - head);
  for (let e = Math.ceil(Math.log10(least)); e <= Math.log10(most); e++) {
    svg.append(node("line", { x1: 52, x2: width - PAD, y1: y(10 ** e), y2: y(10 ** e), class: "rule" }));
    svg.append(node("text", { x: 47, y: y(10 ** e) + 4, class: "tick", "text-anchor": "end" }, `10${raised(e)}`));
  }
  for (const part of ["rounding", "clipping", "mse"]) {
    const drawn = curve.filter((c) => c[part] >= least);
    const path = drawn.map((c, i) => `${i ? "L" : "M"}${x(c.share).toFixed(1)},${y(c[part]).toFixed(1)}`).join("");
    if (drawn.length) svg.append(node("path", { d: path, class: `curve ${part}` }));
  }
  const best = model.best;
  svg.append(node("line", { x1: x(best.share), x2: x(best.share), y1: y(best.mse), y2: foot, class: "end" }));
  const side = best.share > 0.6 ? "end" : "start";
  svg.append(node("text", { x: x(best.share), y: foot - 6, dx: side === "end" ? -5 : 5, class: "tick strong", "text-anchor": side }, `smallest at ${Math.round(100 * best.share)} %`));
  const here = { cx: x(Math.min(model.share, 1.12)), cy: y(model.error.mse), r: 6, class: "here" };
  svg.append(node("circle", here));
  axis(svg, (t) => x(t / 100), width < 480 ? [25, 50, 75, 100] : [10, 20, 30, 40, 50, 60, 70, 80, 90, 100], foot, "range, % of the values' own");
  return { share: (pixel) => ((pixel - 52) / (width - 66)) * 1.1 + 0.02 };
}
