/* The network in testing, as alexnet_jax.model computes it, for one image.

   An array is {data, shape}. Maps are [height, width, maps], row by row, with column 0
   in the first half of the maps; units are [units]. Sums are in double precision, what
   is kept between the layers in single precision, as in Python. */

/** The centre crop of an image, minus the mean image, times the scale. */
function viewOf(network, pixels, size, crop) {
  const first = Math.floor((size - crop) / 2);
  const data = new Float32Array(crop * crop * 3);
  let at = 0;
  for (let row = first; row < first + crop; row++)
    for (let column = first; column < first + crop; column++)
      for (let color = 0; color < 3; color++, at++) {
        const value = pixels[(row * size + column) * 3 + color];
        data[at] = (value - network.mean[at]) * network.scale[color];
      }
  return { data, shape: [crop, crop, 3] };
}

/** Convolution: y[o] = b[o] + sum of k[dy, dx, i, o] * x[i] over the window and the
    inputs i that output o sees: those of its own column, if there are groups. */
function convolve(x, operation, { kernel, bias }) {
  const [height, width, maps] = x.shape;
  const [outputs, rows, columns] = operation.shape;
  const { kernel: size, stride, groups } = operation;
  const before = operation.padding[0];
  const inputs = maps / groups;
  const perGroup = outputs / groups;
  const y = new Float32Array(rows * columns * outputs);
  const sum = new Float64Array(outputs);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      sum.set(bias);
      for (let dy = 0; dy < size; dy++) {
        const sourceRow = row * stride + dy - before;
        if (sourceRow < 0 || sourceRow >= height) continue; // zeros around the map
        for (let dx = 0; dx < size; dx++) {
          const sourceColumn = column * stride + dx - before;
          if (sourceColumn < 0 || sourceColumn >= width) continue;
          const pixel = (sourceRow * width + sourceColumn) * maps;
          const weights = (dy * size + dx) * inputs;
          for (let map = 0; map < maps; map++) {
            const value = x.data[pixel + map];
            if (value === 0) continue; // most are, after ReLU
            const group = Math.floor(map / inputs);
            const from = (weights + map - group * inputs) * outputs;
            for (let o = group * perGroup; o < (group + 1) * perGroup; o++)
              sum[o] += value * kernel[from + o];
          }
        }
      }
      y.set(sum, (row * columns + column) * outputs);
    }
  return { data: y, shape: [rows, columns, outputs] };
}

/** Fully connected: y[o] = b[o] + sum of k[pixel, i, o] * x[pixel, i]. */
function multiply(x, operation, { kernel, bias }) {
  const { outputs, groups, maps } = operation;
  const inputs = maps / groups;
  const perGroup = outputs / groups;
  const sum = Float64Array.from(bias);
  for (let at = 0; at < x.data.length; at++) {
    const value = x.data[at];
    if (value === 0) continue;
    const pixel = Math.floor(at / maps);
    const group = Math.floor((at % maps) / inputs);
    const from = (pixel * inputs + (at % inputs)) * outputs;
    for (let o = group * perGroup; o < (group + 1) * perGroup; o++)
      sum[o] += value * kernel[from + o];
  }
  return { data: Float32Array.from(sum), shape: [outputs] };
}

/** Response normalisation over maps: x / (k + alpha * mean of x^2)^beta, the mean over
    `size` maps around each one, as far as they are of its group. */
function normalizeOverMaps(x, { size, k, alpha, beta, maps }) {
  const y = new Float32Array(x.data.length);
  const reach = Math.floor(size / 2);
  for (let start = 0; start < y.length; start += maps)
    for (let map = 0; map < maps; map++) {
      let squares = 0;
      const first = Math.max(0, map - reach);
      const last = Math.min(maps - 1, map - reach + size - 1);
      for (let other = first; other <= last; other++) squares += x.data[start + other] ** 2;
      y[start + map] = x.data[start + map] / (k + (alpha * squares) / size) ** beta;
    }
  return { data: y, shape: x.shape };
}

/** The same over size x size pixels of one map. */
function normalizeOverPixels(x, { size, k, alpha, beta }) {
  const [height, width, maps] = x.shape;
  const y = new Float32Array(x.data.length);
  const reach = Math.floor(size / 2);
  for (let at = 0; at < y.length; at++) {
    const map = at % maps;
    const row = Math.floor(at / maps / width);
    const column = Math.floor(at / maps) % width;
    let squares = 0;
    for (let r = row - reach; r < row - reach + size; r++)
      for (let c = column - reach; c < column - reach + size; c++)
        if (r >= 0 && r < height && c >= 0 && c < width)
          squares += x.data[(r * width + c) * maps + map] ** 2;
    y[at] = x.data[at] / (k + (alpha * squares) / size ** 2) ** beta;
  }
  return { data: y, shape: x.shape };
}

/** Maxima of windows; the last one may extend beyond the edge, where nothing counts. */
function maxPool(x, { window, stride, shape }) {
  const [height, width] = x.shape;
  const [maps, rows, columns] = shape;
  const y = new Float32Array(rows * columns * maps).fill(-Infinity);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const to = (row * columns + column) * maps;
      const bottom = Math.min(height, row * stride + window);
      const right = Math.min(width, column * stride + window);
      for (let r = row * stride; r < bottom; r++)
        for (let c = column * stride; c < right; c++)
          for (let map = 0; map < maps; map++) {
            const value = x.data[(r * width + c) * maps + map];
            if (value > y[to + map]) y[to + map] = value;
          }
    }
  return { data: y, shape: [rows, columns, maps] };
}

function activate(x, { function: name }) {
  const of = name === "relu" ? (value) => Math.max(0, value) : Math.tanh;
  return { data: x.data.map(of), shape: x.shape };
}

function scaled(x, factor) {
  return { data: x.data.map((value) => value * factor), shape: x.shape };
}

/** Probabilities of logits: exp(z) / sum of exp(z). */
function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

const COMPUTE = {
  Conv: convolve,
  Dense: multiply,
  LocalNorm: normalizeOverMaps,
  SpatialNorm: normalizeOverPixels,
  MaxPool: maxPool,
  Activation: activate,
  Factor: (x, { value }) => scaled(x, value),
};

/** All stages of a view, by name, in the order of the computation.

    Toggles: `norms` and `factor` false leave out normalisation and dropout's factor;
    `mask(layer, units)` gives the factors of the units of fc6 and fc7 in one pass of
    training, in place of the factor. */
function forward(network, view, { norms = true, factor = true, mask = null } = {}) {
  const stages = { view };
  let x = view;
  for (const operation of network.operations) {
    const { layer, stage, kind } = operation;
    if (!norms && kind.endsWith("Norm")) continue;
    if (kind === "Factor" && (!factor || mask)) continue;
    x = COMPUTE[kind](x, operation, network.params[layer]);
    stages[`${layer}.${stage}`] = x;
    if (mask && stage === "activation" && layer.startsWith("fc")) {
      const kept = mask(layer, x.shape[0]);
      x = { data: x.data.map((value, unit) => value * kept[unit]), shape: x.shape };
    }
  }
  return stages;
}
