/* The start: facts in the text, colours, the parts in their order. */

const FACTS = {
  dataset: content.dataset,
  parameters: grouped(content.parameters),
  columns:
    content.columns === 2
      ? "two columns"
      : `${content.columns} column${content.columns > 1 ? "s" : ""}`,
  classes: grouped(content.classes.length),
  error: content.history?.result
    ? percent(content.history.result.top1_error, 2)
    : "not recorded",
  epochs: content.history?.epochs
    ? String(Math.round(10 * content.history.epochs) / 10)
    : "unknown",
  exchanged: sizeOf(content.layers.reduce((sum, layer) => sum + (layer.bytes ?? 0), 0)),
  activation: content.activation === "relu" ? "ReLU" : "tanh",
};

function fillFacts() {
  for (const node of document.querySelectorAll("[data-fact]"))
    node.textContent = FACTS[node.dataset.fact];
}

/** Light or dark: the reader's system, or the choice; always light on paper. */
function startTheme() {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const apply = (theme) => {
    root.dataset.theme = theme;
    redraws.forEach((draw) => draw());
  };
  const current = () => chosen ?? (prefersDark.matches ? "dark" : "light");
  const said = () => (current() === "dark" ? "Light colours" : "Dark colours");
  const change = button(said(), () => {
    chosen = current() === "dark" ? "light" : "dark";
    apply(current());
    change.textContent = said();
  });
  place("theme").append(change);
  prefersDark.addEventListener("change", () => {
    apply(current());
    change.textContent = said();
  });
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", () => apply(current()));
  root.dataset.theme = current();
}

fillFacts();
startTheme();
startPart1();
startPart2();
startPart3();
startPart4();
startPart5();
startPart6();
startPart7();
startPart8();
startPart9();
