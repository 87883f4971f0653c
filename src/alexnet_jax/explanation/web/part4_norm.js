/* Part 4: the maps of a layer at one pixel, before and after response normalisation. */

function startPart4() {
  const layers = content.norms.map((norm) => ({ ...norm, values: floatsOf(norm.values) }));
  let norm = layers[0];
  addPicker("norm-images");
  const said = spoken();
  const bars = element("div", { class: "rows" });
  const show = () => {
    const values = valuesAt(norm, row.value(), column.value());
    const settings = {
      n: n.value(),
      k: k.value(),
      alpha: 10 ** alpha.value(),
      beta: beta.value(),
    };
    const { after, divisor } = normalized(values, norm, settings);
    const at = Math.min(map.value(), values.length - 1);
    bars.replaceChildren(
      normBars("before", values, norm, at, settings.n),
      normBars("after", after, norm, at, settings.n),
    );
    place("norm-pixel").replaceChildren(pixelOfNorm(norm, row.value(), column.value()));
    said.textContent =
      `Map ${at + 1}: ${values[at].toFixed(2)} divided by ${divisor[at].toFixed(3)} ` +
      `gives ${after[at].toFixed(2)}.`;
  };
  const dial = (label, low, high, step, value, format) =>
    slider({ label, low, high, step, value, format, change: show });
  const row = dial("Pixel, row", 0, norm.side - 1, 1, norm.side >> 1);
  const column = dial("Pixel, column", 0, norm.side - 1, 1, norm.side >> 1);
  const map = dial("Map", 0, norm.maps - 1, 1, 0, (at) => String(Number(at) + 1));
  const n = dial("n, maps in the window", 1, 15, 2, norm.size);
  const k = dial("k", 0.1, 10, 0.1, norm.k, (value) => Number(value).toFixed(1));
  const alpha = dial("α", -6, 0, 0.1, Math.log10(norm.alpha), (value) =>
    Number((10 ** value).toPrecision(2)).toExponential(1),
  );
  const beta = dial("β", 0, 2, 0.05, norm.beta, (value) => Number(value).toFixed(2));
  const reset = button("The network's constants", () => {
    n.set(norm.size);
    k.set(norm.k);
    alpha.set(Math.log10(norm.alpha));
    beta.set(norm.beta);
  });
  const chooseLayer = (name) => {
    norm = layers.find((layer) => layer.layer === name);
    [row, column].forEach((one) => one.limit(norm.side - 1));
    map.limit(norm.maps - 1);
    reset.click();
    place("norm-note").textContent = normNote(norm);
  };
  const options = layers.map(({ layer }) => [layer, layer]);
  const choose = choice({
    label: "Layer",
    options,
    value: norm.layer,
    change: chooseLayer,
  });
  place("norm-controls").append(
    ...(layers.length > 1 ? [choose.node] : []),
    element("div", { class: "dials" }, row.node, column.node, map.node),
    element("div", { class: "dials" }, n.node, k.node, alpha.node, beta.node),
    reset,
  );
  place("norm-bars").append(bars, said);
  place("norm-note").textContent = normNote(norm);
  forImage(() => {
    const [r, c] = strongest(norm);
    row.set(r);
    column.set(c);
  });
}

/** The row and column with the largest sum of squares. */
function strongest(norm) {
  const squares = Array.from({ length: norm.side ** 2 }, (_, pixel) =>
    valuesAt(norm, Math.floor(pixel / norm.side), pixel % norm.side).reduce(
      (sum, value) => sum + value * value,
      0,
    ),
  );
  const [at] = best(squares, 1);
  return [Math.floor(at / norm.side), at % norm.side];
}

/** The image, with the pixels that a unit of the layer sees there. */
function pixelOfNorm(norm, row, column) {
  const { field } = layerNamed[norm.layer];
  const first = (i) => field.first + i * norm.step * field.step;
  const target = framedCrop(
    [first(row), first(column), field.size],
    "What these units see",
  );
  const words = `What the units of ${norm.layer} see here`;
  return element("figure", {}, target, element("figcaption", {}, words));
}

function valuesAt(norm, row, column) {
  const pixel = (images.chosen * norm.side + row) * norm.side + column;
  return norm.values.subarray(pixel * norm.maps, (pixel + 1) * norm.maps);
}

/** By the network's own function, with other constants. */
function normalized(values, norm, { n, k, alpha, beta }) {
  const maps = norm.across_columns ? norm.maps : norm.maps / content.columns;
  const ofMean = norm.alpha_divided_by_n ? alpha : alpha * n;
  const operation = { size: n, k, alpha: ofMean, beta, maps };
  const after = normalizeOverMaps({ data: values, shape: [values.length] }, operation).data;
  const ones = new Float32Array(values.length).fill(1);
  const divisor = values.map((value, i) => (after[i] ? value / after[i] : ones[i]));
  return { after, divisor };
}

function normNote(norm) {
  const step = norm.step > 1 ? ` The pixels to choose from are ${norm.step} apart.` : "";
  if (!norm.exists)
    return `This network has no response normalisation: these are the paper's constants on its ${norm.layer}.${step}`;
  const where = norm.position.replace("_", " the ").replace("the pool", "pooling");
  const division = norm.alpha_divided_by_n
    ? "As in the code of 2012, α is divided by n."
    : "As in the paper's text, α is not divided by n.";
  const spatial = norm.spatial
    ? " A second normalisation, over neighbouring pixels, follows in this layer; the paper does not mention it."
    : "";
  return `In ${norm.layer} it stands ${where}. ${division}${spatial}${step}`;
}

/** One bar per map, the window around the chosen map marked. */
function normBars(title, values, norm, chosen, n) {
  const width = 640;
  const height = 130;
  const high = Math.max(...values.map(Math.abs)) || 1;
  const signed = values.some((value) => value < 0);
  const zero = signed ? height / 2 : height - 4;
  const room = signed ? height / 2 - 6 : height - 12;
  const step = width / values.length;
  const perColumn = values.length / content.columns;
  const chart = svgElement("svg", {
    ...{ viewBox: `0 0 ${width} ${height}`, role: "img", class: "norm-bars" },
    "aria-label": `Values of all maps at this pixel ${title}; the largest is ${high.toFixed(2)}`,
    preserveAspectRatio: "none",
  });
  const group = norm.across_columns ? values.length : perColumn;
  const start = Math.floor(chosen / group) * group;
  const first = Math.max(start, chosen - Math.floor(n / 2));
  const last = Math.min(start + group - 1, chosen - Math.floor(n / 2) + n - 1);
  const window = { x: first * step, y: 0, width: (last - first + 1) * step, height };
  chart.append(svgElement("rect", { ...window, class: "window" }));
  values.forEach((value, map) => {
    const size = (Math.abs(value) / high) * room;
    const kind = `fill-${Math.floor(map / perColumn) % 2}${map === chosen ? " now" : ""}`;
    const box = { x: map * step + step * 0.12, y: value < 0 ? zero : zero - size };
    const bar = { ...box, width: step * 0.76, height: Math.max(size, 0.75), class: kind };
    chart.append(svgElement("rect", bar));
  });
  const caption = `${title}: up to ${high.toPrecision(3)}`;
  return element("figure", {}, element("figcaption", {}, caption), chart);
}
