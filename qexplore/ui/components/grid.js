// Uniform grids and their errors, as qexplore.numerics defines them (a browser test compares the two).

const TINY = 1.1754943508222875e-38; // the least normal float32: a smaller scale means an empty range

const halfToEven = (x) => (x + 6755399441055744) - 6755399441055744; // exact for |x| < 2^51

function makeGrid({ kind, bits, powerOfTwo }, low, high) {
  const lo = Math.min(low, 0), hi = Math.max(high, 0), levels = 2 ** bits;
  const signed = kind === "symmetric";
  const first = signed ? -levels / 2 : 0, last = first + levels - 1;
  if (kind === "asymmetric") {
    const scale = usable((hi - lo) / (levels - 1), false);
    const zero = Math.min(Math.max(halfToEven(-lo / scale), 0), levels - 1);
    return { scale, zero, first, last };
  }
  const raw = Math.max(last ? hi / last : 0, signed ? lo / first : 0); // one signed bit has no code above 0
  return { scale: usable(raw, powerOfTwo), zero: 0, first, last };
}

function usable(scale, powerOfTwo) {
  const step = scale > TINY ? scale : 1;
  return powerOfTwo ? 2 ** Math.ceil(Math.log2(step) - 1e-5) : step;
}

const spanOf = (g) => [g.scale * (g.first - g.zero), g.scale * (g.last - g.zero)];

// Mean squared error split by cause, mean signal power, and the share of clipped elements.
function errorOf(x, g) {
  const [low, high] = spanOf(g);
  const { scale, zero, first, last } = g;
  let rounding = 0, clipping = 0, signal = 0, clipped = 0;
  for (let i = 0; i < x.length; i++) {
    const v = x[i];
    const code = Math.min(Math.max(halfToEven(v / scale) + zero, first), last);
    const square = (v - scale * (code - zero)) ** 2;
    signal += v * v;
    if (v < low || v > high) { clipping += square; clipped++; } else rounding += square;
  }
  const n = Math.max(x.length, 1);
  const mse = (rounding + clipping) / n;
  const sqnr = mse > 0 ? 10 * Math.log10(signal / n / mse) : Infinity;
  return { rounding: rounding / n, clipping: clipping / n, mse, sqnr, clipped: clipped / n };
}

// SQNR in dB where each of `rows` consecutive slices of equal length has a grid of its own, over its own range times
// the shares that the ends of the whole range have of the values' own.
function channelSqnr(x, rows, spec, lowShare, highShare) {
  const length = x.length / rows;
  let signal = 0, noise = 0;
  for (let row = 0; row < rows; row++) {
    const slice = x.subarray(row * length, (row + 1) * length);
    const low = slice.reduce((a, b) => Math.min(a, b), 0), high = slice.reduce((a, b) => Math.max(a, b), 0);
    noise += errorOf(slice, makeGrid(spec, lowShare * low, highShare * high)).mse;
    signal += slice.reduce((sum, v) => sum + v * v, 0) / length;
  }
  return noise > 0 ? 10 * Math.log10(signal / noise) : Infinity;
}

// Errors over clips: the range [c·low, c·high] for shares c of the full range.
function errorCurve(x, spec, low, high, steps = 72) {
  const curve = [];
  for (let k = 1; k <= steps; k++) {
    const share = 1.1 * k / steps;
    curve.push({ share, ...errorOf(x, makeGrid(spec, share * low, share * high)) });
  }
  return curve;
}

function landed(x, g) {
  const counts = new Float64Array(g.last - g.first + 1);
  for (let i = 0; i < x.length; i++) {
    counts[Math.min(Math.max(halfToEven(x[i] / g.scale) + g.zero, g.first), g.last) - g.first]++;
  }
  return counts;
}

function binned(x, low, high, bins) {
  const counts = new Float64Array(bins), width = (high - low) / bins || 1;
  for (let i = 0; i < x.length; i++) {
    counts[Math.min(Math.max(Math.floor((x[i] - low) / width), 0), bins - 1)]++;
  }
  return counts;
}
