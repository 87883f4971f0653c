/* Part 8: kernels, errors, predictions, neighbours, mistakes. */

function startPart8() {
  const { kernels, predictions, neighbours, mistakes } = content.learned;
  drawn(() => place("learned-kernels").replaceChildren(...kernels.map(kernelSheet)));
  place("learned-curves").append(...curvesOf(content.history));
  drawn(() =>
    place("learned-predictions").replaceChildren(
      ...(predictions.length ? predictions.map(prediction) : [missing()]),
    ),
  );
  drawn(() => place("learned-neighbours").replaceChildren(...neighbourRows(neighbours)));
  if (mistakes) place("learned-mistakes").append(mistakeTable(mistakes));
}

const missing = () =>
  element(
    "p",
    { class: "missing" },
    "The dataset is not on the machine that wrote this page.",
  );

function kernelSheet(column, index) {
  const { side, count } = column;
  const pixels = bytesOf(column.pixels);
  const perRow = fullRows(count);
  const rows = Math.ceil(count / perRow);
  const target = canvas(
    perRow * (side + 1) - 1,
    rows * (side + 1) - 1,
    kernelText(column, index),
    {
      class: "pixels sheet",
    },
  );
  const none = cssColor("--panel");
  paint(target, (at) => {
    const [x, y] = [at % target.width, Math.floor(at / target.width)];
    const kernel = Math.floor(y / (side + 1)) * perRow + Math.floor(x / (side + 1));
    const [left, top] = [x % (side + 1), y % (side + 1)];
    if (left === side || top === side || kernel >= count) return none;
    const from = 3 * ((kernel * side + top) * side + left);
    return pixels.subarray(from, from + 3);
  });
  return element(
    "figure",
    {},
    target,
    element("figcaption", { class: `text-${index % 2}` }, kernelText(column, index)),
  );
}

function kernelText({ count, colour, coloured }, index) {
  const name = content.columns > 1 ? `Column ${index}: ` : "";
  const share =
    colour === null
      ? "grey images, so no colour to learn"
      : `${percent(colour, 0)} colour; ${coloured} mostly coloured (noise: 67 %)`;
  return `${name}${count} kernels, ${share}`;
}

// Percent; a logarithm has no zero, so an error of 0 is drawn at the first.
const ERROR_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

function curvesOf(history) {
  if (history === null)
    return [element("p", {}, "No record of the training came with this file.")];
  const { test, train, drops, result } = history;
  const points = (part) =>
    part.epoch.map((epoch, i) => [
      epoch,
      part.top1_error[i] === null
        ? null
        : Math.max(ERROR_TICKS[0], 100 * part.top1_error[i]),
    ]);
  const lines = [{ kind: "test", points: points(test) }];
  if (train) lines.push({ kind: "train", points: points(train) });
  const errors = lines
    .flatMap((line) => line.points.map(([, error]) => error))
    .filter((error) => error !== null);
  const epochs = lines.flatMap((line) => line.points.map(([epoch]) => epoch));
  if (!errors.length) return [element("p", {}, "The training has no evaluation yet.")];
  const last = Math.max(...epochs);
  const lowest = Math.min(...errors);
  const low = ERROR_TICKS.findLast((tick) => tick < lowest) ?? 0.8 * ERROR_TICKS[0];
  const high = ERROR_TICKS.find((tick) => tick > Math.max(...errors)) ?? 100;
  const ticks = ERROR_TICKS.filter((tick) => tick >= low && tick <= high);
  const x = { label: "epoch", low: 0, high: last, ticks: roundTicks(0, last) };
  const y = { label: "top-1 error, %", low, high, ticks, log: true };
  const marks = drops.filter((epoch) => epoch <= last);
  const { chart } = lineChart({ label: "Errors by epoch", x, y, lines, marks });
  const entries = [["test", "evaluation"]];
  if (train) entries.push(["train", "training, with augmentation and dropout"]);
  if (marks.length) entries.push(["mark", "the learning rate drops"]);
  return [
    element(
      "figure",
      {},
      chart,
      legend(...entries),
      element("figcaption", {}, endText(history, result)),
    ),
  ];
}

function endText(history, result) {
  if (!result) return history.command;
  const five =
    result.top5_error == null ? "" : `, top-5 error ${percent(result.top5_error, 2)}`;
  return (
    `At the end: top-1 error ${percent(result.top1_error, 2)}${five}, on ${grouped(result.examples)} ` +
    `images of ${content.dataset} ${history.split}, centre view. ${history.command}`
  );
}

function thumbnail({ pixels, side }, label) {
  return pixelPicture(bytesOf(pixels), side, label);
}

function prediction(one) {
  const known = one.correct !== null;
  const kind = known ? (one.correct ? "is-right" : "is-wrong") : "";
  const mark = known ? (one.correct ? "✓ " : "✗ ") : "";
  const bars = one.labels.slice(0, 3).map((name, i) => ({
    name,
    value: one.probabilities[i],
    mark: i === one.right ? "right" : "",
  }));
  return element(
    "figure",
    { class: `prediction ${kind}` },
    thumbnail(one, `Image of the class ${one.title}`),
    element("figcaption", {}, mark, shorten(one.title, 18)),
    barList(bars, `Predictions for this image of ${one.title}`),
  );
}

function neighbourRows(found) {
  if (found === null) return [missing()];
  const rows = found.queries.map((query) =>
    element(
      "div",
      { class: "neighbours" },
      element(
        "figure",
        { class: "query" },
        thumbnail(query, `Query: ${query.title}`),
        element("figcaption", {}, shorten(query.title, 12)),
      ),
      ...query.nearest.map((one) =>
        element(
          "figure",
          { class: one.same === false ? "is-wrong" : "" },
          thumbnail(one, `Training image of the class ${one.title}`),
          element(
            "figcaption",
            {},
            `${one.same === false ? "✗ " : ""}${shorten(one.title, 12)}`,
          ),
        ),
      ),
    ),
  );
  const among = found.among < found.of ? `the first ${grouped(found.among)} of ` : "";
  const words =
    `Left an image, beside it the training images with the nearest ${found.layer}, nearest first, ` +
    `among ${among}${grouped(found.of)}. ✗: of another class.`;
  return [
    scrolling("Nearest training images", ...rows),
    element("p", { class: "note" }, words),
  ];
}

function mistakeTable({ names, counts, images: count }) {
  const most = Math.max(1, ...counts.flatMap((row, i) => row.filter((_, j) => j !== i)));
  const rows = names.map((name, i) => [shorten(name, 12), ...counts[i].map(String)]);
  const title = `Answers (across) by class (down), ${count} images of the evaluation split`;
  const node = table(title, ["class", ...names.map((name) => shorten(name, 8))], rows);
  node.classList.add("mistakes");
  node.querySelectorAll("tbody tr").forEach((row, i) =>
    row.querySelectorAll("td").forEach((cell, j) => {
      if (i === j) cell.classList.add("diagonal");
      else cell.style.setProperty("--share", counts[i][j] / most);
      if (!counts[i][j]) cell.classList.add("empty");
    }),
  );
  return scrolling(title, node);
}
