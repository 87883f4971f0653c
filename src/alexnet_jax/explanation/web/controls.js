/* Controls: native elements, so that keyboard and screen reader work by themselves. */

let controls = 0;
const newId = () => `control-${++controls}`;

/** A slider with its value; `format` says it in words. */
function slider({ label, low, high, step = 1, value, format = String, change }) {
  const id = newId();
  const output = element("output", { for: id }, format(value));
  const input = element("input", {
    ...{ type: "range", id, min: low, max: high, step, value },
    "aria-valuetext": format(value),
    oninput: () => set(Number(input.value)),
  });
  function set(next) {
    input.value = next;
    output.textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
    change(Number(input.value));
  }
  function limit(last) {
    input.max = last;
    set(Math.min(Number(input.value), last));
  }
  const node = element(
    "div",
    { class: "slider" },
    element("label", { for: id }, label),
    input,
    output,
  );
  return { node, set, limit, value: () => Number(input.value) };
}

/** One of several: options are [value, content]. */
function choice({ label, options, value, change, kind = "" }) {
  const name = newId();
  const inputs = options.map(([key]) =>
    element("input", {
      ...{ type: "radio", name, value: String(key), id: newId() },
      checked: key === value,
      onchange: () => change(key),
    }),
  );
  const node = element(
    "fieldset",
    { class: `choice ${kind}` },
    element("legend", {}, label),
    ...options.map(([, text, accessible], i) =>
      element(
        "span",
        {},
        inputs[i],
        element("label", { for: inputs[i].id, title: accessible ?? null }, text),
      ),
    ),
  );
  const set = (key) => {
    const at = options.findIndex((option) => option[0] === key);
    if (at >= 0) inputs[at].checked = true;
  };
  const clear = () => inputs.forEach((input) => (input.checked = false));
  return { node, set, clear };
}

function toggle({ label, value, change }) {
  const id = newId();
  const input = element("input", {
    ...{ type: "checkbox", id, checked: value },
    onchange: () => change(input.checked),
  });
  return element("div", { class: "toggle" }, input, element("label", { for: id }, label));
}

function button(text, click) {
  return element("button", { type: "button", onclick: click }, text);
}

/** Text that a screen reader says when it changes. */
function spoken(text = "") {
  return element("p", { class: "spoken", "aria-live": "polite" }, text);
}
