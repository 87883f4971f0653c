/* Part 1: Figure 2, the maps of a layer, and where in the image a map is largest. */

const STEP = 96; // pixels from layer to layer
const ROW = 104; // and from column to column
const SLANT = [0.42, 0.3]; // a unit of depth, right and up

/** A box in oblique projection. Areas and numbers vary by orders of magnitude; roots
    keep all of them visible. */
function boxOf(layer, x) {
  const image = content.layers[0];
  const width = layer === image ? 3 : 5 + 1.7 * layer.maps ** 0.45;
  if (!layer.size) return { x, width, height: 42, depth: 26 };
  const side = Math.sqrt(layer.size / image.size);
  return { x, width, height: 16 + 50 * side, depth: 14 + 42 * side };
}

function drawBox(box, y, kind) {
  const { width, height, depth } = box;
  const [right, up] = [depth * SLANT[0], depth * SLANT[1]];
  const left = box.x - width / 2 - right / 2;
  const top = y - height / 2 + up / 2;
  const face = (points, name) =>
    svgElement("polygon", { points: points.join(" "), class: `${name} ${kind}` });
  const [x1, y1] = [left + width, top + height];
  return svgElement(
    "g",
    {},
    face([left, top, x1, top, x1, y1, left, y1], "front"),
    face([left, top, x1, top, x1 + right, top - up, left + right, top - up], "top"),
    face([x1, top, x1 + right, top - up, x1 + right, y1 - up, x1, y1], "side"),
  );
}

const sizeText = (layer) =>
  layer.size ? `${layer.size} × ${layer.size} × ${layer.maps}` : String(layer.maps);

function figure2(choose) {
  const rows = Math.min(content.columns, 4);
  const heights = Array.from({ length: rows }, (_, row) => 78 + ROW * row);
  const middle = [heights.reduce((sum, y) => sum + y, 0) / rows];
  const boxes = content.layers.map((layer, i) => boxOf(layer, 60 + STEP * i));
  const [width, height] = [STEP * boxes.length + 70, ROW * rows + 46];
  const figure = svgElement("svg", {
    viewBox: `0 0 ${width} ${height}`,
    class: "figure2",
    role: "img",
    "aria-label": describeNetwork(),
  });
  content.layers.forEach((layer, i) => {
    const ys = i ? heights : middle;
    if (i) figure.append(...linesTo(boxes, i, i > 1 ? heights : middle, heights));
    const group = svgElement("g", {
      class: "layer",
      onclick: () => i && choose(layer.name),
    });
    group.dataset.layer = layer.name;
    const text = (y, words, kind) =>
      svgElement("text", { x: boxes[i].x, y, "text-anchor": "middle", class: kind }, words);
    ys.forEach((y, row) => {
      const hit = { x: boxes[i].x - 44, y: y - 48, width: 88, height: 98, class: "hit" };
      group.append(svgElement("rect", hit));
      group.append(drawBox(boxes[i], y, i ? `column-${row % 2}` : "image"));
      group.append(text(y + 48, sizeText(layer), "size"));
    });
    group.append(text(20, layer.name, "name"));
    figure.append(group);
  });
  if (content.columns > 1)
    heights.forEach((y, row) => {
      const at = { x: width - 70, y: y + 4, class: `text-${row % 2} name` };
      figure.append(svgElement("text", at, `column ${row}`));
    });
  return figure;
}

function linesTo(boxes, i, before, after) {
  const half = (box) => (box.width + box.depth * SLANT[0]) / 2;
  const sees = content.layers[i].sees;
  const ends = { x1: boxes[i - 1].x + half(boxes[i - 1]), x2: boxes[i].x - half(boxes[i]) };
  const lines = [];
  for (const y of after)
    for (const from of sees === "own" ? [y] : before) {
      const crosses = sees === "both" && from !== y;
      const kind = crosses ? "crossing" : "straight";
      lines.push(svgElement("line", { ...ends, y1: from, y2: y, class: kind }));
    }
  return lines;
}

const SEES = {
  image: "sees the image",
  own: "sees its own column",
  both: "sees both columns",
};

function seesText(layer) {
  return content.columns === 1 && layer.sees !== "image"
    ? "sees all maps"
    : SEES[layer.sees];
}

function describeNetwork() {
  const layers = content.layers.slice(1).map((layer) => {
    const what = layer.size
      ? `${layer.maps} maps of ${layer.size} by ${layer.size} pixels`
      : `${layer.maps} units`;
    return `${layer.name}, ${what} per column, ${seesText(layer)}`;
  });
  return `The layers: ${layers.join("; ")}.`;
}

/** Facts of a layer, as a list of terms. */
function layerFacts(layer) {
  const facts = [
    ["A column", seesText(layer)],
    ["Size", layer.size ? `${sizeText(layer)} maps` : `${layer.maps} units`],
    ["Parameters", grouped(layer.parameters)],
    ["Multiplications", `${short(layer.products)} per image`],
    ["Between columns", layer.bytes ? `${sizeOf(layer.bytes)} per image` : "nothing"],
  ];
  if (layer.kernel) {
    const kernel = `${layer.kernel} × ${layer.kernel}, step ${layer.stride}`;
    facts.splice(
      2,
      0,
      ["Kernels", kernel],
      ["A unit sees", `${layer.field.size} × ${layer.field.size} pixels`],
    );
  }
  const rows = facts.flatMap(([term, fact]) => [
    element("dt", {}, term),
    element("dd", {}, fact),
  ]);
  return element("dl", { class: "facts" }, ...rows);
}

/** Levels of each map of a layer for an image: {places, maps, side}. */
function mapsOf(name, index) {
  const { levels, places, side } = content.maps[name];
  const all = bytesOf(levels[index]);
  const maps = places.map((_, map) => all.subarray(map * side ** 2, (map + 1) * side ** 2));
  return { places, maps, side };
}

/** Maps per row, so that the rows are full and no more than the maps in a row. */
function fullRows(count) {
  let perRow = Math.ceil(Math.sqrt(count));
  while (count % perRow && perRow < 12) perRow++;
  return perRow;
}

/** The sheets of a layer's maps, a canvas for each column, and which were drawn. */
function mapSheets(name, { places, maps, side }, total, choose) {
  const perColumn = total / content.columns;
  const sheets = Array.from({ length: content.columns }, (_, column) => {
    const own = places.flatMap((map, at) =>
      Math.floor(map / perColumn) === column ? [at] : [],
    );
    const perRow = fullRows(own.length);
    const label = `Maps of column ${column} of ${name}`;
    const target = canvas(1, 1, label, { class: "pixels sheet" });
    const sheet = own.map((at) => maps[at]);
    paintSheet(target, sheet, side, perRow, ramp(column));
    target.addEventListener("click", (event) => {
      const cell = ((side + 1) * target.clientWidth) / target.width;
      const at =
        Math.floor(event.offsetY / cell) * perRow + Math.floor(event.offsetX / cell);
      if (at < own.length) choose(own[at]);
    });
    const title = element("h4", { class: `text-${column % 2}` }, `column ${column}`);
    const outline = element("span", { class: "outline", "aria-hidden": "true" });
    const mark = (chosen) => {
      const at = own.indexOf(chosen);
      outline.hidden = at < 0;
      const rows = Math.ceil(own.length / perRow);
      outline.style.left = `${(100 * (at % perRow)) / perRow}%`;
      outline.style.top = `${(100 * Math.floor(at / perRow)) / rows}%`;
      outline.style.width = `${100 / perRow}%`;
      outline.style.height = `${100 / rows}%`;
    };
    const framed = element("div", { class: "framed" }, target, outline);
    const node = element("div", {}, content.columns > 1 ? title : null, framed);
    return { node, mark };
  });
  return {
    node: element("div", { class: "sheets" }, ...sheets.map((sheet) => sheet.node)),
    mark: (at) => sheets.forEach((sheet) => sheet.mark(at)),
  };
}

/** The image with a map laid over it, and the pixels that its largest unit sees. */
function overlay(name, at) {
  const { pixels, side } = centreCrop(images.chosen);
  const layer = layerNamed[name];
  const { maps, side: mapSide } = mapsOf(name, images.chosen);
  const scale = side / images.crop; // of stored pixels
  const first = (i) => (layer.field.first + i * layer.field.step) * scale;
  const step = (layer.field.step * layer.size * scale) / mapSide; // between shown units
  const centre = first(0) + (layer.field.size * scale) / 2;
  const target = canvas(side * 4, side * 4, `Map over the image ${images.title}`, {
    class: "pixels large",
  });
  const colors = ramp(columnOf(layer, content.maps[name].places[at]));
  paint(target, (index) => {
    const [x, y] = [(index % (4 * side)) >> 2, Math.floor(index / (16 * side))];
    const unit = (value) =>
      Math.max(0, Math.min(mapSide - 1, Math.round((value + 0.5 - centre) / step)));
    const level = maps[at][unit(y) * mapSide + unit(x)];
    const grey = [0, 1, 2].map((color) => pixels[3 * (y * side + x) + color]);
    const strength = 0.75 * (level / 255);
    return grey.map((value, i) => value + strength * (colors[255][i] - value));
  });
  const [row, column] = content.maps[name].largest[images.chosen][at];
  const own = (i) => layer.field.first + i * layer.field.step;
  return withFrame(target, [own(row), own(column), layer.field.size]);
}

function columnOf(layer, map) {
  return Math.floor(map / layer.maps);
}

function startPart1() {
  let layer = layerNamed[convNames[0]];
  let chosen = 0;
  let sheets = null;
  const figure = figure2((name) => {
    layers.set(name);
    choose(name);
  });
  place("figure2").append(scrolling("Figure 2, the network", figure));
  if (content.columns === 1)
    place("network-columns").textContent =
      "This network has one column: each layer sees all maps.";
  addPicker("network-images");
  const names = content.layers.slice(1).map(({ name }) => [name, name]);
  const layers = choice({
    label: "Layer",
    options: names,
    value: layer.name,
    change: choose,
  });
  const map = slider({
    ...{ label: "Map", low: 0, high: 1, value: 0 },
    format: (at) => mapText(layer, at),
    change: showMap,
  });
  place("network-controls").append(layers.node, map.node);

  function choose(name) {
    layer = layerNamed[name];
    for (const group of figure.querySelectorAll(".layer"))
      group.classList.toggle("chosen", group.dataset.layer === name);
    const hasMaps = convNames.includes(name);
    map.node.hidden = !hasMaps;
    place("network-map").hidden = !hasMaps;
    place("network-facts").replaceChildren(layerFacts(layer));
    if (!hasMaps) return showUnits();
    const found = mapsOf(name, images.chosen);
    sheets = mapSheets(name, found, layer.maps * content.columns, (at) => map.set(at));
    place("network-maps").replaceChildren(sheets.node);
    const total = layer.maps * content.columns;
    place("network-shown").textContent =
      found.maps.length < total
        ? `Of ${total} maps the ${found.maps.length} most active are here.`
        : "";
    map.limit(found.maps.length - 1);
  }

  function showMap(at) {
    chosen = at;
    sheets.mark(at);
    const value = content.maps[layer.name].maximum[images.chosen][at];
    const where = value
      ? `Largest, ${value}, for what is inside the frame.`
      : "This map is silent for this image.";
    place("network-map").replaceChildren(overlay(layer.name, chosen), spoken(where));
  }

  function showUnits() {
    const units = floatsOf(content.maps[layer.name].units);
    const count = units.length / images.count;
    const own = units.subarray(images.chosen * count, (images.chosen + 1) * count);
    const shown = layer.name === "fc8" ? classBars(own) : unitGrid(own, layer.name);
    place("network-maps").replaceChildren(shown);
  }
  forImage(() => choose(layer.name));
}

function mapText(layer, at) {
  const map = content.maps[layer.name].places[at];
  const own = map % layer.maps;
  const column = content.columns > 1 ? `, column ${columnOf(layer, map)}` : "";
  return `${own + 1} of ${layer.maps}${column}`;
}

function classBars(logits) {
  return probabilityBars(softmax(logits), content.images.label[images.chosen]);
}

/** Units as squares, the columns beside each other. */
function unitGrid(values, name) {
  const high = Math.max(...values.map(Math.abs)) || 1;
  const levels = levelsOf(values, 0, high);
  const perColumn = values.length / content.columns;
  const perRow = Math.ceil(Math.sqrt(perColumn));
  const parts = Array.from({ length: content.columns }, (_, column) => {
    const rows = Math.ceil(perColumn / perRow);
    const label = `Units of column ${column} of ${name}`;
    const target = canvas(perRow, rows, label, { class: "pixels units" });
    const colors = ramp(column);
    const none = cssColor("--panel");
    const start = column * perColumn;
    paint(target, (at) => (at < perColumn ? colors[levels[start + at]] : none));
    return target;
  });
  return element("div", { class: "sheets" }, ...parts);
}
