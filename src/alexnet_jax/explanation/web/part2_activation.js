/* Part 2: ReLU and tanh, silent units, Figure 1. */

const FUNCTIONS = {
  relu: { of: (x) => Math.max(0, x), gradient: (x) => (x > 0 ? 1 : 0) },
  tanh: { of: Math.tanh, gradient: (x) => 1 - Math.tanh(x) ** 2 },
};

function activationChart(label, y, part) {
  const xs = Array.from({ length: 161 }, (_, i) => -4 + i / 20);
  const lines = Object.entries(FUNCTIONS).map(([name, functions]) => ({
    kind: name,
    points: xs.map((x) => [x, functions[part](x)]).filter((point) => point[1] <= y.high),
  }));
  const x = { label: "input x", low: -4, high: 4, ticks: [-4, -2, 0, 2, 4] };
  return lineChart({ label, x, y, lines, width: 420, height: 240 });
}

function startPart2() {
  const charts = [
    [
      "of",
      activationChart(
        "ReLU and tanh",
        { label: "f(x)", low: -1, high: 3, ticks: [-1, 0, 1, 2, 3] },
        "of",
      ),
    ],
    [
      "gradient",
      activationChart(
        "Their gradients",
        { label: "f′(x)", low: 0, high: 1.2, ticks: [0, 0.5, 1] },
        "gradient",
      ),
    ],
  ];
  const dots = charts.flatMap(([part, { chart, toX, toY }]) =>
    Object.entries(FUNCTIONS).map(([name, functions]) => {
      const dot = svgElement("circle", { r: 5, class: `dot ${name}` });
      chart.append(dot);
      return (x) => {
        dot.setAttribute("cx", toX(x));
        dot.setAttribute("cy", toY(functions[part](x)));
      };
    }),
  );
  const said = spoken();
  const show = (x) => {
    dots.forEach((move) => move(x));
    const tell = (name) => {
      const { of, gradient } = FUNCTIONS[name];
      return `${of(x).toFixed(2)}, gradient ${gradient(x).toFixed(3)}`;
    };
    said.textContent = `ReLU: ${tell("relu")}. tanh: ${tell("tanh")}.`;
  };
  const input = slider({
    ...{ label: "Input x", low: -4, high: 3, step: 0.1, value: 2.5 },
    format: (x) => Number(x).toFixed(1),
    change: show,
  });
  place("activation-curves").append(
    element("div", { class: "pair charts" }, ...charts.map(([, { chart }]) => chart)),
    legend(["relu", "ReLU"], ["tanh", "tanh"]),
    input.node,
    said,
  );
  show(2.5);
  place("activation-silent").append(silentUnits());
  place("activation-figure1").append(figure1());
}

/** The share of silent units in each layer and column. */
function silentUnits() {
  const { shares, images: count, saturated } = content.activity;
  const what =
    content.activation === "relu"
      ? "exactly 0: silent, and without gradient"
      : `beyond ±${saturated}, where tanh is flat`;
  const rows = Object.entries(shares).map(([name, columns]) =>
    element(
      "li",
      {},
      element("span", { class: "name" }, name),
      element(
        "span",
        { class: "tracks" },
        ...columns.map((share, column) => {
          const bar = element("span", { class: `bar fill-${column % 2}` });
          bar.style.width = `${100 * share}%`;
          return element(
            "span",
            { class: "track" },
            bar,
            element("span", {}, percent(share)),
          );
        }),
      ),
    ),
  );
  return element(
    "figure",
    {},
    element("ul", { class: "shares" }, ...rows),
    columnLegend(),
    element(
      "figcaption",
      {},
      `Units of this network that are ${what}. Mean over ${count} images.`,
    ),
  );
}

function columnLegend() {
  if (content.columns === 1) return null;
  const entries = Array.from({ length: content.columns }, (_, column) => [
    `fill-${column % 2}`,
    `column ${column}`,
  ]);
  return legend(...entries);
}

function figure1() {
  const record = content.figure1;
  if (record === null)
    return element(
      "p",
      { class: "note" },
      "Figure 1 repeated is not in this version: its record is not made yet. It comes from ",
      element("code", {}, "python -m experiments.cuda_convnet.figure1"),
      ".",
    );
  const lines = record.runs.map((run) => ({
    kind: run.activation,
    points: run.curve.map((point) => [point.epoch, 100 * point.top1_error]),
  }));
  const last = Math.max(...lines.flatMap(({ points }) => points.map(([epoch]) => epoch)));
  const x = { label: "epochs", low: 0, high: last, ticks: roundTicks(0, last) };
  const y = { label: "training error, %", low: 20, high: 80, ticks: [25, 40, 60, 80] };
  const { chart } = lineChart({ label: "Training error of ReLU and tanh", x, y, lines });
  const times = record.runs
    .filter((run) => run.epochs !== null)
    .map(({ activation, epochs }) => {
      const name = activation === "relu" ? "ReLU" : activation;
      return `with ${name} after ${epochs.toFixed(1)} epochs`;
    });
  const limit = percent(record.limit, 0);
  return element(
    "figure",
    {},
    chart,
    legend(["relu", "ReLU"], ["tanh", "tanh"]),
    element(
      "figcaption",
      {},
      `Figure 1 repeated: ${record.net} on CIFAR-10 reaches ${limit} training error ` +
        `${times.join(", ")} (one run each). Command: ${record.command}`,
    ),
  );
}
