/* Part 6: crops and mirror images, colours, ten views. */

const CROPS = 8;

function startPart6() {
  addPicker("views-images");
  const again = button("New crops", showCrops);
  place("views-crops-controls").append(again);
  forImage(showCrops);
  startColors();
  forImage(showTenViews);
}

/** A view of a shown image: its place is in pixels of the full image. */
function viewPicture(top, left, mirrored, label) {
  const scale = images.side / images.size;
  const side = Math.round(images.crop * scale);
  const [y, x] = [Math.round(top * scale), Math.round(left * scale)];
  const pixels = images.of(images.chosen);
  const fits = (value) => Math.min(value, images.side - side);
  const crop = cropOf(pixels, images.side, fits(y), fits(x), side, mirrored);
  return pixelPicture(crop, side, label);
}

/** Random views, drawn as in training. */
function showCrops() {
  const { random_crop: moves, horizontal_flip: mirrors } = content.views;
  const free = images.size - images.crop;
  const draw = () => (moves ? Math.floor(Math.random() * (free + 1)) : free >> 1);
  const views = Array.from({ length: CROPS }, () => {
    const [top, left] = [draw(), draw()];
    const mirrored = mirrors && Math.random() < 0.5;
    const words = `${top} down, ${left} right${mirrored ? ", mirrored" : ""}`;
    return element(
      "figure",
      {},
      viewPicture(top, left, mirrored, `Crop ${words}`),
      element("figcaption", {}, words),
    );
  });
  place("views-crops").replaceChildren(...views);
  const count = (moves ? (free + 1) ** 2 : 1) * (mirrors ? 2 : 1);
  place("views-count").textContent =
    `${grouped(count)} different views of ${images.crop} × ${images.crop} pixels in an image of ` +
    `${images.size} × ${images.size}` +
    (mirrors ? ", mirror images included." : ". This network saw no mirror images.");
}

function startColors() {
  const { colors, std, color_shift: variant, divisor } = content.views;
  if (colors === null) {
    place("views-colors").append(
      "The dataset is not on this machine, so its colours are not known.",
    );
    return;
  }
  const known = colors.stddev.map((deviation, i) => [deviation, colors.direction[i]]);
  const parts = known.filter(([deviation]) => deviation > 1e-3);
  const dials = parts.map(([deviation], i) =>
    slider({
      ...{
        label: `α${"₁₂₃"[i]} (s = ${deviation.toFixed(1)})`,
        low: -0.5,
        high: 0.5,
        step: 0.01,
      },
      value: 0,
      format: (value) => Number(value).toFixed(2),
      change: show,
    }),
  );
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const random = button("Draw at random", () =>
    dials.forEach((dial) => dial.set(std * normal())),
  );
  const none = button("No shift", () => dials.forEach((dial) => dial.set(0)));
  const before = element("div", {});
  const after = element("div", {});
  const framed = (node, words) =>
    element("figure", {}, node, element("figcaption", {}, words));
  place("views-colors").append(
    element(
      "div",
      { class: "pair shifted" },
      framed(before, "as it is"),
      framed(after, "shifted"),
    ),
    element("div", { class: "dials" }, ...dials.map((dial) => dial.node)),
    element("div", { class: "buttons" }, random, none),
  );
  place("views-colors-note").textContent = colorNote(variant, colors, parts.length);

  function show() {
    const shift = [0, 1, 2].map((color) =>
      parts.reduce((sum, [deviation, direction], i) => {
        const size = variant === "paper" ? deviation ** 2 / 255 : deviation;
        return sum + dials[i].value() * size * direction[color];
      }, 0),
    );
    const pixels = images.of(images.chosen);
    const shifted = Uint8ClampedArray.from(pixels, (value, at) => value + shift[at % 3]);
    const title = images.title;
    before.replaceChildren(pixelPicture(pixels, images.side, `${title}, as it is`));
    after.replaceChildren(pixelPicture(shifted, images.side, `${title}, shifted`));
  }
  forImage(show);

  function colorNote(name, { images: count }, shown) {
    const of = count ? `the first ${grouped(count)} training images` : "the training set";
    const grey =
      shown === 1 ? " They are grey: one direction, brightness, has it all." : "";
    const used = {
      none: " This network was trained without the shift.",
      paper: " As in the paper's text, a factor multiplies the variance.",
      2012: ` As in the code of 2012, a factor multiplies the deviation; in training the image is then divided by ${divisor}.`,
    };
    return `Directions of ${of}.${grey}${used[name]}`;
  }
}

function showTenViews() {
  const { offsets, flips, probabilities } = content.views;
  const ofViews = probabilities[images.chosen];
  const label = content.images.label[images.chosen];
  const views = offsets.map(([top, left], i) => {
    const [at] = best(ofViews[i], 1);
    const name = content.classes[at];
    const where = ["upper left", "upper right", "lower left", "lower right", "centre"][
      i % 5
    ];
    const words = `${where}${flips[i] ? ", mirrored" : ""}`;
    const kind = label < 0 ? "" : at === label ? "is-right" : "is-wrong";
    return element(
      "figure",
      { class: kind },
      viewPicture(top, left, flips[i], `View: ${words}`),
      element(
        "figcaption",
        {},
        element("span", { class: "where" }, words),
        element("strong", {}, shorten(name, 14)),
        ` ${percent(ofViews[i][at], 0)}`,
      ),
    );
  });
  place("views-ten").replaceChildren(...views);
  const mean = content.classes.map(
    (_, name) => ofViews.reduce((sum, view) => sum + view[name], 0) / ofViews.length,
  );
  place("views-note").textContent = content.views.horizontal_flip
    ? ""
    : "This network saw no mirror images in training, so the mirrored views say little.";
  place("views-mean").replaceChildren(
    element("p", { class: "subhead" }, "Average of the ten"),
    probabilityBars(mean, label),
    element("p", { class: "subhead" }, "The centre alone"),
    probabilityBars(ofViews[4], label),
  );
}
