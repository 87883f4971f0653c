/* The content of the page: JSON, with arrays as base64 of their bytes. */

const content = JSON.parse(document.getElementById("content").textContent);

function bytesOf(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

function floatsOf(text) {
  return new Float32Array(bytesOf(text).buffer);
}

/** The network for `forward`, its arrays unpacked; null for a large one. */
function unpackedNetwork(packed) {
  if (packed === null) return null;
  const params = {};
  for (const [layer, { kernel, bias }] of Object.entries(packed.params))
    params[layer] = { kernel: floatsOf(kernel), bias: floatsOf(bias) };
  return { ...packed, params, mean: floatsOf(packed.mean) };
}

const liveNetwork = unpackedNetwork(content.network);

/** Layers with maps, and fully connected ones. */
const layerNamed = Object.fromEntries(content.layers.map((layer) => [layer.name, layer]));
const convNames = Object.keys(content.maps).filter((name) => name.startsWith("conv"));

const shorten = (text, length = 24) =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text;
const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)}\u00a0%`;
const grouped = (number) => Math.round(number).toLocaleString("en");

/** 1234567 as 1.2 M. */
function short(number) {
  for (const [size, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ])
    if (number >= size)
      return `${(number / size).toPrecision(number / size < 99.5 ? 2 : 3)} ${unit}`;
  return String(number);
}

/** Bytes with their unit. */
function sizeOf(bytes) {
  return bytes < 1000 ? `${bytes} bytes` : `${short(bytes)}B`;
}

/** The places of the largest values, largest first. */
function best(values, count) {
  const places = Array.from(values.keys());
  return places.sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}
