/* Part 5: overlapping and apart pooling of a map, with windows that slide. */

const POOLS = [
  { name: "3 × 3, step 2: overlapping", window: 3, stride: 2 },
  { name: "2 × 2, step 2: apart", window: 2, stride: 2 },
];

function startPart5() {
  const pool = content.pool;
  if (pool === null) return place("pooling-figure").append("This network has no pooling.");
  const step = (pool.high - pool.low) / 255;
  const values = Float32Array.from(
    bytesOf(pool.levels),
    (level) => pool.low + level * step,
  );
  const { side, places } = pool;
  let chosen = 0;
  let timer = null;
  addPicker("pooling-images");
  const options = places.map((map, at) => [at, String(map + 1)]);
  const label = `Map of ${pool.layer}`;
  const maps = choice({
    label,
    options,
    value: 0,
    change: (at) => ((chosen = at), show()),
  });
  const most = Math.max(...POOLS.map((one) => pooledSide(side, one)));
  const position = slider({
    ...{ label: "Window", low: 0, high: most ** 2 - 1, value: 0 },
    format: (at) => `row ${Math.floor(at / most) + 1}, column ${(at % most) + 1}`,
    change: () => show(),
  });
  const play = button("Slide", () => {
    const stop = timer !== null;
    clearInterval(timer);
    timer = stop ? null : setInterval(advance, 120);
    play.textContent = stop ? "Slide" : "Stop";
    play.setAttribute("aria-pressed", String(!stop));
  });
  play.setAttribute("aria-pressed", "false");
  const advance = () => position.set((position.value() + 1) % most ** 2);
  place("pooling-controls").append(maps.node, position.node, play);
  const said = spoken();

  function show() {
    const length = side ** 2;
    const start = (images.chosen * places.length + chosen) * length;
    const map = values.subarray(start, start + length);
    const at = [Math.floor(position.value() / most), position.value() % most];
    const panels = POOLS.map((one) => poolPanel(map, side, one, at, places[chosen]));
    place("pooling-figure").replaceChildren(...panels.map(({ node }) => node));
    const maxima = panels.map(
      ({ value, reach }) => `${value.toFixed(2)} of ${reach} pixels`,
    );
    said.textContent = `Largest in the window: ${maxima.join("; ")}.`;
  }
  place("pooling-controls").append(said);
  place("pooling-note").textContent =
    `This network pools with windows of ${pool.window} × ${pool.window} at step ` +
    `${pool.stride}; its last window ${pool.ceil ? "may extend past the edge" : "ends at the edge"}.`;
  forImage(show);
}

/** The outputs along a side: as many as windows that begin inside, rounded up. */
function pooledSide(side, { window, stride }) {
  const last = Math.ceil((side - window) / stride);
  return last + (last * stride < side ? 1 : 0);
}

function poolPanel(map, side, { name, window, stride }, [row, column], place) {
  const size = pooledSide(side, { window, stride });
  const operation = { window, stride, shape: [1, size, size] };
  const pooled = maxPool({ data: map, shape: [side, side, 1] }, operation).data;
  const [r, c] = [Math.min(row, size - 1), Math.min(column, size - 1)];
  const high = Math.max(...map);
  const low = Math.min(0, ...map);
  const colors = ramp(
    columnOf(
      content.layers.find((l) => l.name === content.pool.layer),
      place,
    ),
  );
  const picture = (data, width, label, frame) => {
    const levels = levelsOf(data, low, high);
    const target = canvas(width, width, label, { class: "pixels" });
    paint(target, (at) => colors[levels[at]]);
    const outline = element("span", { class: "outline", "aria-hidden": "true" });
    const [top, left, reachDown, reachRight] = frame.map((value) => (100 * value) / width);
    Object.assign(outline.style, {
      top: `${top}%`,
      left: `${left}%`,
      height: `${reachDown}%`,
      width: `${reachRight}%`,
    });
    return element("div", { class: "framed" }, target, outline);
  };
  const down = Math.min(window, side - r * stride);
  const right = Math.min(window, side - c * stride);
  const node = element(
    "figure",
    { class: "pooling" },
    element("figcaption", {}, `${name}: ${side} × ${side} to ${size} × ${size}`),
    element(
      "div",
      { class: "pair" },
      picture(map, side, "Map before pooling", [r * stride, c * stride, down, right]),
      picture(pooled, size, `Map after pooling, ${name}`, [r, c, 1, 1]),
    ),
  );
  return { node, value: pooled[r * size + c], reach: down * right };
}
