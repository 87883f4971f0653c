/* Figure 2 of the paper, from the configuration. */

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
