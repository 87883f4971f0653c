/* Part 3: what each device holds and computes, and the timeline of one step. */

const LANE = 46; // height of a device in the timeline

function startPart3() {
  const layers = content.layers.slice(1);
  const { columns, batch_size: batch } = content;
  const heads = ["layer", "a column sees", "parameters", "multiplications", "receives"];
  const rows = layers.map((layer) => [
    layer.name,
    layer.sees === "image" ? "image" : columns === 1 ? "all" : layer.sees,
    grouped(layer.parameters / columns),
    short(layer.products / columns),
    layer.bytes ? sizeOf(layer.bytes / columns) : "–",
  ]);
  const total = layers.reduce((sum, layer) => sum + layer.parameters, 0) / columns;
  const title = `Each of ${columns} device${columns > 1 ? "s" : ""}, per image`;
  place("devices-table").append(scrolling(title, table(title, heads, rows)));
  const held = `${grouped(total)} parameters on each device, ${sizeOf(4 * total)}.`;
  place("devices-held").textContent = held + whereItRan();
  const events = eventsOf(layers);
  const { figure, mark } = timeline(events);
  place("devices-timeline").append(scrolling("Timeline of a step", figure));
  const said = spoken();
  const show = (at) => {
    mark(at);
    said.textContent = tell(events[at], batch);
  };
  const moment = slider({
    ...{ label: "Moment", low: 0, high: events.length - 1, value: 0 },
    format: (at) => `${Number(at) + 1} of ${events.length}`,
    change: show,
  });
  place("devices-timeline").append(moment.node, said);
  show(0);
}

function whereItRan() {
  const mesh = content.history?.mesh;
  if (!mesh || !content.history.devices) return "";
  // "cpu cpu" is a platform and a kind of device.
  const named = content.history.devices.map((name) =>
    [...new Set(name.split(" "))].join(" "),
  );
  const kinds = [...new Set(named)].join(", ");
  const used = (mesh.data ?? 1) * (mesh.column ?? 1);
  return ` This network was trained on ${used} device${used > 1 ? "s" : ""} (${kinds}).`;
}

/** What happens in a step, in order: forward, then backward, which costs twice as much
    but for conv1, whose input needs no gradient. */
function eventsOf(layers) {
  const exchanges = (layer) => layer.bytes > 0;
  const forward = layers.flatMap((layer) => [
    ...(exchanges(layer) ? [{ kind: "gather", layer }] : []),
    { kind: "forward", layer, products: layer.products },
  ]);
  const backward = [...layers].reverse().flatMap((layer) => [
    {
      kind: "backward",
      layer,
      products: layer.products * (layer.sees === "image" ? 1 : 2),
    },
    ...(exchanges(layer) ? [{ kind: "scatter", layer }] : []),
  ]);
  return [...forward, ...backward];
}

function tell({ kind, layer }, batch) {
  const bytes = sizeOf((layer.bytes / content.columns) * batch);
  const name = layer.name;
  const what = layer.size ? "maps" : "units";
  switch (kind) {
    case "gather":
      return `Before ${name}, which sees both columns, each device receives the other's values: ${bytes} for ${batch} images.`;
    case "scatter":
      return `Back through the exchange before ${name}: each device returns the gradient of what it received, ${bytes}.`;
    case "forward":
      return `Forward, ${name}: each device computes its ${layer.maps} ${what}. Nothing passes between them.`;
    default:
      return `Backward, ${name}: gradients of its kernels and of its input, each device for its own ${what}.`;
  }
}

function timeline(events) {
  const total = events.reduce((sum, event) => sum + (event.products ?? 0), 0);
  const widthOf = (event) =>
    event.products ? Math.max(9, (760 * event.products) / total) : 16;
  const lanes = Math.min(content.columns, 4);
  const height = lanes * LANE + 44;
  const nodes = [];
  let x = 84;
  for (const event of events) {
    const width = widthOf(event);
    const group = svgElement("g", { class: "event" });
    const exchange = !event.products;
    for (let lane = 0; lane < (exchange ? 1 : lanes); lane++) {
      const y = 8 + lane * LANE;
      const size = { width: width - 2, height: exchange ? lanes * LANE - 8 : LANE - 8 };
      const kind = exchange ? "exchange" : `fill-${lane % 2} ${event.kind}`;
      group.append(svgElement("rect", { x, y, ...size, rx: 2, class: kind }));
    }
    const name = exchange ? "⇄" : event.layer.name;
    if (exchange || width > 34)
      group.append(
        svgElement(
          "text",
          { x: x + width / 2 - 1, y: lanes * LANE + 18, "text-anchor": "middle" },
          name,
        ),
      );
    nodes.push(group);
    x += width;
  }
  const figure = svgElement("svg", {
    viewBox: `0 0 ${Math.ceil(x + 10)} ${height}`,
    class: "timeline",
    role: "img",
    "aria-label":
      "Timeline of a step: forward through the layers and backward again, with an " +
      "exchange where a layer sees both columns. Widths are multiplications.",
  });
  for (let lane = 0; lane < lanes; lane++) {
    const at = { x: 4, y: 8 + lane * LANE + LANE / 2, class: `text-${lane % 2}` };
    figure.append(svgElement("text", at, `device ${lane}`));
  }
  figure.append(...nodes);
  const mark = (at) => nodes.forEach((node, i) => node.classList.toggle("now", i === at));
  return { figure, mark };
}
