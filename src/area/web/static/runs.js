// The log of runs that keeps itself true, marks, and the charts of one AREA.

/* New runs appear on top, and those that weren't over change where they stand; nothing else moves, no mark is lost. */

htmx.config.morphIgnore.push("open"); // who folded something out wants it to stay

const number = (row) => Number(row.dataset.run);
let asking = null;

async function freshen() {
  const list = document.getElementById("runs");
  if (!list || !list.dataset.changes) return;
  if (asking) {
    asking.again = true; // something changed after that question was put
    return;
  }
  const mine = { again: false };
  asking = mine;
  try {
    const address = new URL(list.dataset.changes, location.origin);
    list.querySelectorAll("[data-open]").forEach((row) => address.searchParams.append("open", row.dataset.run));
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
    if (answer.ok && list.isConnected) take(list, new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // the server is away: the stream says when something changes again
  }
  setTimeout(() => {
    asking = null; // no oftener than once a second
    if (mine.again) freshen();
  }, 1000);
}

function take(list, answer) {
  const [fresh, changed] = answer.querySelectorAll("ul");
  if (!fresh) return;
  const shown = new Map([...list.querySelectorAll("[data-run]")].map((row) => [number(row), row]));
  const rows = [...fresh.children];
  const overlaps = rows.length < 50 || rows.some((row) => shown.has(number(row)));
  document.querySelector("[data-many-new]").hidden = overlaps || shown.size === 0;
  const wanted = overlaps || shown.size === 0 ? rows : [];
  for (const row of [...wanted, ...changed.children]) {
    const old = shown.get(number(row));
    if (old) replace(old, row);
    else if (row.parentElement === fresh) insert(list, shown, row);
  }
  list.hidden = list.children.length === 0;
  document.querySelector(".list-head").hidden = list.hidden;
  const none = document.querySelector("[data-none]");
  if (none && !list.hidden) none.remove();
  tellTimes();
}

const FACE = [".run-status", ".run-error", ".run-ms", ".run-size", ".run-figures > [title]"];
const face = (row) => FACE.map((part) => row.querySelector(part)?.textContent.trim()).join("|") + ("open" in row.dataset);

function replace(old, row) {
  if (face(old) === face(row)) return;
  const mark = old.querySelector(".pick input");
  const focused = old.contains(document.activeElement) && (document.activeElement === mark ? ".pick input" : "a");
  row.querySelector(".pick input").checked = mark.checked;
  old.replaceWith(row);
  if (focused) row.querySelector(focused).focus({ preventScroll: true });
}

function insert(list, shown, row) {
  const below = [...list.querySelectorAll("[data-run]")].find((one) => number(one) < number(row));
  row.classList.add("is-new");
  list.insertBefore(row, below || list.querySelector(".run-more"));
  shown.set(number(row), row);
}

document.addEventListener("runs-changed", freshen);

// what happened after the page was made and before the stream began would be missed
document.addEventListener("DOMContentLoaded", () => {
  if (stream) stream.addEventListener("open", () => tell("runs-changed"), { once: true });
  setTimeout(() => document.querySelector("[data-open]") && tell("runs-changed"), 3000);
});

/* Marks */

document.addEventListener("change", (event) => {
  const form = event.target.closest("#list");
  if (!form) return;
  const boxes = [...form.querySelectorAll(".pick input")];
  if (event.target.matches("[data-mark-all]")) {
    boxes.forEach((box) => (box.checked = event.target.checked));
    if (boxes.length) boxes[0].dispatchEvent(new Event("change", { bubbles: true })); // app.js counts them
    return;
  }
  const marked = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-mark-all]");
  all.checked = marked === boxes.length;
  all.indeterminate = marked > 0 && marked < boxes.length;
  const open = boxes.filter((box) => box.checked && box.closest("[data-open]")).length;
  form.querySelectorAll("[data-for-open]").forEach((button) => (button.hidden = open === 0));
  form.querySelectorAll("[data-confirm-many]").forEach((button) => {
    button.dataset.confirm = button.dataset.confirmMany.replace("#", `${marked}.`);
  });
});

/* Charts, in the page's colours */

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const milliseconds = (value) => (value < 1000 ? `${Math.round(value)} ms` : `${Math.round(value / 100) / 10} s`);

function axes(figures, values) {
  const quiet = { stroke: colour("--quiet"), font: "12px Inter, system-ui, sans-serif", ticks: { show: false } };
  const labels = (plot, places) => places.map((place) => figures.labels[place] ?? "");
  return [
    { ...quiet, grid: { show: false }, space: 64, incrs: [1, 2, 3, 4, 6, 12], values: labels, size: 28 },
    { ...quiet, grid: { stroke: colour("--tblr-border-color"), width: 1 }, values, size: 56, space: 36 },
  ];
}

function draw(box, series, data, options) {
  if (box.plot) box.plot.destroy();
  const size = { width: box.clientWidth, height: 146 };
  // without a label it says "Value"
  const x = { value: (plot, place) => (place == null ? "" : box.figures.labels[place]), label: "\u00a0" };
  const cursor = { y: false, points: { show: options.points, size: 7 }, drag: { x: false, y: false } };
  const scales = { x: { time: false, range: [-0.6, box.figures.labels.length - 0.4] }, ...options.scales };
  box.plot = new uPlot({ ...size, series: [x, ...series], cursor, scales, axes: options.axes, legend: { live: true } }, data, box);
}

function drawAll() {
  const source = document.querySelector("[data-figures]");
  if (!source || !window.uPlot) return;
  const figures = JSON.parse(source.dataset.figures);
  const places = figures.labels.map((_, place) => place);
  const runs = source.querySelector("[data-plot=runs]");
  const durations = source.querySelector("[data-plot=durations]");
  const { saySuccess, sayFailed, sayOther, sayMedian, saySlow } = source.dataset;
  runs.figures = figures;
  const bars = uPlot.paths.bars({ size: [0.7, 36], radius: 0.15 });
  // stacked: each of them is drawn from the ground, the highest first
  const good = figures.success;
  const bad = good.map((value, place) => value + figures.failed[place]);
  const all = bad.map((value, place) => value + figures.other[place]);
  const stacked = (label, name, own) => ({
    label, paths: bars, fill: colour(name), stroke: colour(name), width: 0, points: { show: false },
    value: (plot, raw, _series, place) => (place == null ? "" : own[place]),
  });
  const whole = (plot, values) => values.map((value) => (Number.isInteger(value) ? value : ""));
  draw(
    runs,
    [stacked(sayOther, "--quiet", figures.other), stacked(sayFailed, "--bad", figures.failed), stacked(saySuccess, "--good", figures.success)],
    [places, all, bad, good],
    { axes: axes(figures, whole), points: false, scales: { y: { range: (plot, low, high) => [0, Math.max(1, high * 1.08)] } } },
  );
  if (!durations) return;
  durations.figures = figures;
  const line = (label, name, dash) => ({
    label, stroke: colour(name), width: 2, dash, spanGaps: true, points: { show: true, size: 5, fill: colour(name) },
    value: (plot, raw, _series, place) => (place == null ? "" : raw == null ? "–" : milliseconds(raw)),
  });
  draw(
    durations,
    [line(sayMedian, "--accent"), line(saySlow, "--quiet", [5, 4])],
    [places, figures.median_ms, figures.slow_ms],
    { axes: axes(figures, (plot, values) => values.map(milliseconds)), points: true, scales: { y: { range: (plot, low, high) => [0, Math.max(2, (high || 1) * 1.1)] } } },
  );
}

let drawn = "";
let width = 0;

function redraw(force) {
  const source = document.querySelector("[data-figures]");
  if (!source) return;
  const plot = source.querySelector(".plot");
  if (!force && source.dataset.figures === drawn && plot.plot && width === plot.clientWidth) return;
  drawn = source.dataset.figures;
  width = plot.clientWidth;
  drawAll();
}

document.addEventListener("DOMContentLoaded", () => redraw(true));
document.addEventListener("htmx:after:swap", () => redraw(false));
window.addEventListener("resize", () => redraw(false));
new MutationObserver(() => redraw(true)).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
if (document.readyState !== "loading") redraw(true);
