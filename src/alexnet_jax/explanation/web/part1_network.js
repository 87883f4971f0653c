/* Part 1: the maps of a layer, and where in the image a map is largest. */

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
    const title = element("p", { class: `subhead text-${column % 2}` }, `column ${column}`);
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
