/* Part 7: masks over fc6, the mean of many, and the factor of testing. */

function startPart7() {
  const { variant, rate, units, passes, test } = content.dropout;
  const fc6 = floatsOf(content.dropout.fc6);
  const keep = 1 - rate;
  const active = variant === "mean" ? 1 : keep; // share of the units that masks keep
  let sum = new Float64Array(units);
  let drawn = 0;
  addPicker("dropout-images");
  const own = () => fc6.subarray(images.chosen * units, (images.chosen + 1) * units);
  const gain = variant === "inverted" ? 1 / keep : 1;
  const draw = () => Float32Array.from(own(), () => (Math.random() < active ? gain : 0));
  const said = spoken();

  function add(count) {
    const values = own();
    let mask = null;
    for (let pass = 0; pass < count; pass++) {
      mask = draw();
      values.forEach((value, unit) => (sum[unit] += value * mask[unit]));
    }
    drawn += count;
    show(mask);
  }

  function show(mask) {
    const values = own();
    const masked = values.map((value, unit) => value * mask[unit]);
    const tested = values.map((value) => value * (variant === "inverted" ? 1 : keep));
    const mean = Float32Array.from(sum, (total) => total / drawn);
    const grids = [
      ["all units", values],
      ["this pass", masked],
      [`mean of ${grouped(drawn)} pass${drawn > 1 ? "es" : ""}`, mean],
      [variant === "inverted" ? "at test: as they are" : `at test: times ${keep}`, tested],
    ];
    place("dropout-grids").replaceChildren(
      ...grids.map(([title, shown]) =>
        element(
          "figure",
          {},
          dropoutGrid(shown, Math.max(...values.map(Math.abs)) || 1, title),
          element("figcaption", {}, title),
        ),
      ),
    );
    const size = Math.hypot(...tested) || 1;
    const far = Math.hypot(...tested.map((value, unit) => value - mean[unit])) / size;
    said.textContent =
      `The mean of ${grouped(drawn)} pass${drawn > 1 ? "es" : ""} is ${percent(far)} away ` +
      "from the units at test.";
    if (liveNetwork) showLive(mask);
  }

  function showLive(mask) {
    const view = viewOf(liveNetwork, images.of(images.chosen), images.size, images.crop);
    const fc7 = (length) =>
      Float32Array.from({ length }, () => (Math.random() < active ? gain : 0));
    const masks = (layer, length) => (layer === "fc6" ? mask : fc7(length));
    const stages = forward(liveNetwork, view, { mask: masks });
    const [, ...rest] = place("dropout-live").children;
    rest.forEach((node) => node.remove());
    const bars = probabilityBars(softmax(stages["fc8.linear"].data), label(), 3);
    place("dropout-live").append(bars);
  }

  const label = () => content.images.label[images.chosen];
  if (liveNetwork)
    place("dropout-live").append(
      element("p", { class: "subhead" }, "What the network says with this mask"),
    );
  place("dropout-controls").append(
    button("A new mask", () => add(1)),
    button("100 more", () => add(100)),
    button("Begin again", restart),
  );
  place("dropout-grids").after(said);

  function restart() {
    sum = new Float64Array(units);
    drawn = 0;
    add(1);
  }

  function showPasses() {
    const [at] = label() >= 0 ? [label()] : best(test[images.chosen], 1);
    const rows = passes[images.chosen].map((pass, i) => ({
      name: `pass ${i + 1}`,
      value: pass[at],
    }));
    rows.push({ name: "at test", value: test[images.chosen][at], mark: "right" });
    const name = shorten(content.classes[at]);
    place("dropout-passes").replaceChildren(
      element("p", { class: "subhead" }, `Probability of “${name}”, masks in fc6 and fc7`),
      barList(rows, `Probability of ${name} in passes with masks`),
    );
  }
  place("dropout-note").textContent = dropoutNote(variant, rate);
  forImage(() => {
    restart();
    showPasses();
  });
}

function dropoutNote(variant, rate) {
  if (rate === 0) return "This network was trained without dropout: its rate is 0.";
  return {
    2012: `This network: rate ${rate}, a mask in training, its mean as a factor at test, as in 2012.`,
    inverted: `This network: rate ${rate}; the mask is divided by ${1 - rate} in training, so nothing changes at test.`,
    mean: `This network: no masks; the factor ${1 - rate} in training and at test.`,
  }[variant];
}

function dropoutGrid(values, high, title) {
  const perColumn = values.length / content.columns;
  const perRow = Math.ceil(Math.sqrt(values.length));
  const target = canvas(perRow, Math.ceil(values.length / perRow), `fc6, ${title}`, {
    class: "pixels units",
  });
  const levels = levelsOf(values, 0, high);
  const ramps = Array.from({ length: content.columns }, (_, column) => ramp(column));
  const none = cssColor("--panel");
  paint(target, (at) =>
    at < values.length ? ramps[Math.floor(at / perColumn)][levels[at]] : none,
  );
  return target;
}
