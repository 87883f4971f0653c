/* Part 9: the network at work in the page, on a drawing, an image or a file. */

const PAD = 280; // pixels of the drawing pad

function startPart9() {
  if (!liveNetwork) {
    place("try").remove();
    document.querySelector('nav a[href="#try"]').parentElement.remove();
    return;
  }
  const toggles = { norms: true, factor: true };
  let pixels = images.of(0);
  const run = () => showRun(pixels, toggles);
  const use = (next) => {
    pixels = next;
    run();
  };
  const chooser = imageInput(use);
  const useOther = (next) => {
    chooser.clear();
    use(next);
  };
  if (liveNetwork.drawing)
    place("try-inputs").append(drawingPad(liveNetwork.drawing, useOther));
  place("try-inputs").append(chooser.node, fileInput(useOther));
  place("try-toggles").append(
    toggle({
      ...{ label: "Response normalisation", value: true },
      change: (on) => ((toggles.norms = on), run()),
    }),
    toggle({
      ...{ label: "Dropout's factor at test", value: true },
      change: (on) => ((toggles.factor = on), run()),
    }),
  );
  drawn(run);
}

/** Probabilities of uint8 RGB pixels [size, size, 3], as the page computes them. */
function predict(pixels, toggles = {}) {
  const view = viewOf(liveNetwork, pixels, images.size, images.crop);
  const stages = forward(liveNetwork, view, toggles);
  return { stages, probabilities: softmax(stages["fc8.linear"].data) };
}

function showRun(pixels, toggles) {
  const began = performance.now();
  const { stages, probabilities } = predict(pixels, toggles);
  const time = Math.max(1, Math.round(performance.now() - began));
  const [at] = best(probabilities, 1);
  place("try-seen").replaceChildren(
    pixelPicture(pixels, images.size, "The image that the network gets"),
  );
  place("try-answer").replaceChildren(
    probabilityBars(probabilities, -1, Math.min(10, probabilities.length)),
    spoken(
      `${content.classes[at]}, ${percent(probabilities[at])}. Computed in ${time} ms.`,
    ),
  );
  const shown = Object.keys(stages).filter((name) => name.endsWith(".activation"));
  place("try-layers").replaceChildren(
    ...shown.map((name) => stageFigure(name, stages[name])),
  );
}

function stageFigure(name, { data, shape }) {
  const layer = name.split(".")[0];
  const caption = element("figcaption", {}, layer);
  if (shape.length === 1) return element("figure", {}, caption, unitGrid(data, layer));
  const [side, , maps] = shape;
  const low = Math.min(0, ...data);
  const high = Math.max(...data);
  const levels = levelsOf(data, low, high);
  const each = Array.from({ length: maps }, (_, map) =>
    Uint8Array.from({ length: side ** 2 }, (_, pixel) => levels[pixel * maps + map]),
  );
  const places = each.map((_, map) => map);
  const sheets = mapSheets(layer, { places, maps: each, side }, maps, () => {});
  sheets.mark(-1);
  return element("figure", {}, caption, sheets.node);
}

function imageInput(use) {
  const options = images.titles.map((title, index) => [
    index,
    element(
      "span",
      {},
      pixelPicture(images.of(index), images.side, null),
      element("span", { class: "caption" }, shorten(title, 14)),
    ),
  ]);
  const change = (index) => use(images.of(index));
  return choice({ label: "Choose an image", options, value: 0, change, kind: "images" });
}

/** A picture from a file; it stays on this machine. */
function fileInput(use) {
  const id = newId();
  const said = spoken();
  const input = element("input", { type: "file", id, accept: "image/*", onchange: read });
  async function read() {
    if (!input.files.length) return;
    try {
      const picture = await createImageBitmap(input.files[0]);
      use(squareOf(picture, picture.width, picture.height, images.size));
      said.textContent = "";
    } catch {
      said.textContent = "This file is not an image that the browser can read.";
    }
  }
  const label = element(
    "label",
    { for: id },
    "Or a picture of yours (it stays here; the browser scales it)",
  );
  return element("div", { class: "file" }, label, input, said);
}

/** The centre square, shorter side scaled to `size`: RGB [size, size, 3]. */
function squareOf(picture, width, height, size) {
  const side = Math.min(width, height);
  const target = element("canvas", { width: size, height: size });
  const context = target.getContext("2d");
  context.imageSmoothingQuality = "high";
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  context.drawImage(picture, left, top, side, side, 0, 0, size, size);
  const data = context.getImageData(0, 0, size, size).data;
  const pixels = new Uint8ClampedArray(3 * size ** 2);
  for (let at = 0; at < pixels.length; at++)
    pixels[at] = data[4 * Math.floor(at / 3) + (at % 3)];
  return content.grey ? greyOf(pixels) : pixels;
}

function greyOf(pixels) {
  return pixels.map((_, at) => {
    const from = at - (at % 3);
    return 0.299 * pixels[from] + 0.587 * pixels[from + 1] + 0.114 * pixels[from + 2];
  });
}

/** Bright ink on black, by pointer or by keyboard, made an image like the dataset's:
    means over `stored` x `stored` squares, then enlarged. */
function drawingPad(stored, use) {
  const pad = canvas(PAD, PAD, null, {
    ...{ class: "pad", tabindex: "0", role: "application" },
    "aria-hidden": "false",
    "aria-label":
      "Drawing pad. Arrow keys move the pen, space lowers and lifts it, Delete clears.",
  });
  const context = pad.getContext("2d", { willReadFrequently: true });
  const pen = { x: PAD / 2, y: PAD / 4, down: false };
  const cursor = element("span", { class: "pen", "aria-hidden": "true" });
  const said = spoken("The pen is up.");
  said.classList.add("heard");
  function clear() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, PAD, PAD);
    finish();
  }
  function line(x, y) {
    Object.assign(context, {
      strokeStyle: "#fff",
      lineWidth: PAD / 6,
      lineCap: "round",
      lineJoin: "round",
    });
    context.beginPath();
    context.moveTo(pen.x, pen.y);
    context.lineTo(x, y);
    context.stroke();
    Object.assign(pen, { x, y });
  }
  function finish() {
    use(drawingAsImage(context.getImageData(0, 0, PAD, PAD).data, stored, images.size));
  }
  const at = (event) => {
    const scale = PAD / pad.clientWidth;
    return [event.offsetX * scale, event.offsetY * scale];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    [pen.x, pen.y] = at(event);
    pen.down = true;
    line(...at(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (pen.down && event.buttons) line(...at(event));
  });
  pad.addEventListener("pointerup", () => {
    pen.down = false;
    finish();
  });
  const MOVES = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  pad.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move && event.key !== " " && event.key !== "Delete") return;
    event.preventDefault();
    if (event.key === "Delete") return clear();
    if (event.key === " ") {
      pen.down = !pen.down;
      said.textContent = `The pen is ${pen.down ? "down" : "up"}.`;
    }
    const to = (value, step) => Math.max(0, Math.min(PAD, value + (PAD / 20) * step));
    const [x, y] = move ? [to(pen.x, move[0]), to(pen.y, move[1])] : [pen.x, pen.y];
    if (pen.down) {
      line(x, y);
      finish();
    }
    Object.assign(pen, { x, y });
    cursor.style.left = `${(100 * x) / PAD}%`;
    cursor.style.top = `${(100 * y) / PAD}%`;
  });
  context.fillRect(0, 0, PAD, PAD);
  return element(
    "div",
    { class: "drawing" },
    element("p", { class: "legend-like" }, "Draw"),
    element("div", { class: "framed" }, pad, cursor),
    button("Clear", clear),
    said,
  );
}

/** RGBA of the pad to RGB [size, size, 3]. */
function drawingAsImage(rgba, stored, size) {
  const block = PAD / stored;
  const small = new Float64Array(stored ** 2);
  const count = new Float64Array(stored ** 2);
  for (let at = 0; at < PAD ** 2; at++) {
    const row = Math.floor(Math.floor(at / PAD) / block);
    const column = Math.floor((at % PAD) / block);
    small[row * stored + column] += rgba[4 * at];
    count[row * stored + column] += 1;
  }
  const grey = enlarged(
    small.map((sum, at) => Math.round(sum / count[at])),
    stored,
    size,
  );
  return Uint8ClampedArray.from(
    { length: 3 * size ** 2 },
    (_, at) => grey[Math.floor(at / 3)],
  );
}

/** Cubic interpolation with a = -0.75, as OpenCV enlarges the images of a dataset. */
function enlarged(values, from, size) {
  if (from === size) return values;
  const a = -0.75;
  const weight = (t) => {
    const d = Math.abs(t);
    if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
    return d < 2 ? a * (d ** 3 - 5 * d ** 2 + 8 * d - 4) : 0;
  };
  const taps = Array.from({ length: size }, (_, to) => {
    const centre = ((to + 0.5) * from) / size - 0.5;
    const first = Math.floor(centre) - 1;
    return [0, 1, 2, 3].map((i) => [
      Math.max(0, Math.min(from - 1, first + i)),
      weight(centre - first - i),
    ]);
  });
  return Float64Array.from({ length: size ** 2 }, (_, at) => {
    let sum = 0;
    for (const [row, down] of taps[Math.floor(at / size)])
      for (const [column, across] of taps[at % size])
        sum += down * across * values[row * from + column];
    return sum;
  });
}
