/* Elements, colours, pixels, charts. */

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; text stays text, whatever is in it. */
function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svgElement(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Adds to the element with this id; null if the page has none. */
const place = (id) => document.getElementById(id);

// What is drawn in pixels is drawn again when the colours change.
const redraws = [];
function drawn(draw) {
  redraws.push(draw);
  draw();
}

function cssColor(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

/** 256 colours from nothing to the most of a column. */
function ramp(column) {
  const ends = ["--map-none", `--map-${column % 2}-half`, `--map-${column % 2}-full`];
  const [low, middle, high] = ends.map(cssColor);
  return Array.from({ length: 256 }, (_, level) => {
    const t = level / 127.5;
    const [from, to, part] = t < 1 ? [low, middle, t] : [middle, high, t - 1];
    return from.map((value, i) => value + (to[i] - value) * part);
  });
}

function canvas(width, height, label, attributes = {}) {
  const named = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return element("canvas", { width, height, ...named, ...attributes });
}

/** Sets every pixel of a canvas to colorOf(index), [red, green, blue]. */
function paint(target, colorOf) {
  const context = target.getContext("2d");
  const image = context.createImageData(target.width, target.height);
  for (let at = 0; at < target.width * target.height; at++) {
    const [red, green, blue] = colorOf(at);
    image.data.set([red, green, blue, 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
}

/** Draws RGB pixels [side, side, 3]. */
function paintPixels(target, pixels) {
  paint(target, (at) => pixels.subarray(3 * at, 3 * at + 3));
}

function pixelPicture(pixels, side, label, attributes = {}) {
  const target = canvas(side, side, label, { class: "pixels", ...attributes });
  paintPixels(target, pixels);
  return target;
}

/** Maps beside each other, one pixel apart. */
function paintSheet(target, maps, side, perRow, colors) {
  const rows = Math.ceil(maps.length / perRow);
  target.width = perRow * (side + 1) - 1;
  target.height = rows * (side + 1) - 1;
  const gap = cssColor("--panel");
  paint(target, (at) => {
    const x = at % target.width;
    const y = Math.floor(at / target.width);
    const map = Math.floor(y / (side + 1)) * perRow + Math.floor(x / (side + 1));
    const [left, top] = [x % (side + 1), y % (side + 1)];
    if (left === side || top === side || map >= maps.length) return gap;
    return colors[maps[map][top * side + left]];
  });
}

/** Values as levels 0 to 255 between two ends. */
function levelsOf(values, low, high) {
  const span = high - low || 1;
  return Uint8Array.from(values, (value) =>
    Math.max(0, Math.min(255, Math.round(((value - low) / span) * 255))),
  );
}

/** Bars with a name and a value each: {name, value, text, mark}. */
function barList(rows, label) {
  return element(
    "ul",
    { class: "bars", "aria-label": label },
    ...rows.map(({ name, value, text, mark = "" }) => {
      const bar = element("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = `${Math.max(0, Math.min(100, 100 * value))}%`;
      return element(
        "li",
        { class: mark },
        bar,
        element("span", { class: "name" }, shorten(name)),
        element("span", { class: "value" }, text ?? percent(value)),
      );
    }),
  );
}

/** The most probable classes; `right` is the index of the true one. */
function probabilityBars(probabilities, right, count = 5) {
  return barList(
    best(probabilities, count).map((index) => ({
      name: content.classes[index],
      value: probabilities[index],
      mark: index === right ? "right" : "",
    })),
    "most probable classes",
  );
}

const round = (value) => Math.round(100 * value) / 100;

/** A chart of lines: each of {name, points, kind}. Axes are {label, low, high, ticks}. */
function lineChart({ label, x, y, lines, marks = [], width = 440, height = 260 }) {
  const [left, top, right, bottom] = [46, 30, 14, 40];
  const toX = (value) =>
    round(left + ((value - x.low) / (x.high - x.low || 1)) * (width - left - right));
  const log = (value) => (y.log ? Math.log(value) : value);
  const [low, high] = [log(y.low), log(y.high)];
  const toY = (value) =>
    round(top + ((high - log(value)) / (high - low || 1)) * (height - top - bottom));
  const chart = svgElement("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
    class: "chart",
  });
  const text = (at, content, attributes) =>
    svgElement("text", { x: at[0], y: at[1], ...attributes }, content);
  for (const tick of y.ticks) {
    const line = { x1: left, x2: width - right, y1: toY(tick), y2: toY(tick) };
    chart.append(svgElement("line", { ...line, class: "grid" }));
    const at = [left - 7, toY(tick) + 4];
    chart.append(text(at, (y.format ?? String)(tick), { "text-anchor": "end" }));
  }
  for (const tick of x.ticks)
    chart.append(
      text([toX(tick), height - bottom + 18], String(tick), { "text-anchor": "middle" }),
    );
  for (const mark of marks) {
    const line = { x1: toX(mark), x2: toX(mark), y1: top, y2: height - bottom };
    chart.append(svgElement("line", { ...line, class: "mark" }));
  }
  const end = { "text-anchor": "end", class: "axis" };
  chart.append(text([width - right, height - 6], x.label, end));
  chart.append(text([4, 14], y.label, { class: "axis" }));
  for (const { points, kind } of lines) {
    const shown = points.filter((point) => point[1] !== null);
    const path = shown.map(([a, b], i) => `${i ? "L" : "M"}${toX(a)} ${toY(b)}`).join("");
    chart.append(svgElement("path", { d: path, class: `line ${kind}` }));
    if (shown.length === 1) {
      const [cx, cy] = [toX(shown[0][0]), toY(shown[0][1])]; // no line through one point
      chart.append(svgElement("circle", { cx, cy, r: 3.5, class: `line ${kind}` }));
    }
  }
  return { chart, toX, toY };
}

/** About `count` round numbers from low to high. */
function roundTicks(low, high, count = 5) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9; tick += step)
    ticks.push(Number(tick.toPrecision(6)));
  return ticks;
}

function legend(...entries) {
  return element(
    "ul",
    { class: "legend" },
    ...entries.map(([kind, text]) =>
      element("li", {}, element("span", { class: `swatch ${kind}` }), text),
    ),
  );
}

/** A table with a caption; the first cell of a row is its heading. */
function table(caption, heads, rows) {
  const row = (cells) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, cells[0]),
      ...cells.slice(1).map((cell) => element("td", {}, cell)),
    );
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element(
      "thead",
      {},
      element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head))),
    ),
    element("tbody", {}, ...rows.map(row)),
  );
}

/** A box that scrolls sideways on narrow screens, also by keyboard. */
function scrolling(label, ...children) {
  return element(
    "div",
    { class: "scrolling", tabindex: "0", role: "region", "aria-label": label },
    ...children,
  );
}
