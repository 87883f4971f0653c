/* The image that the reader has chosen; the same one in all parts. */

const images = {
  ...content.images,
  pixels: bytesOf(content.images.pixels),
  chosen: 0,
  of(index) {
    const length = 3 * this.side ** 2;
    return this.pixels.subarray(index * length, (index + 1) * length);
  },
  get title() {
    return this.titles[this.chosen];
  },
};
const watchers = [];
const pickers = [];

/** Calls `show` now, and whenever another image is chosen. */
function forImage(show) {
  watchers.push(show);
  drawn(show);
}

function chooseImage(index) {
  images.chosen = index;
  pickers.forEach((picker) => picker.set(index));
  watchers.forEach((show) => show());
}

/** Thumbnails to choose from, in the element with this id. */
function addPicker(id) {
  const options = images.titles.map((title, index) => {
    const text = element(
      "span",
      {},
      pixelPicture(images.of(index), images.side, null),
      element("span", { class: "caption" }, shorten(title, 14)),
    );
    return [index, text];
  });
  const label = "Image";
  const picker = choice({ label, options, value: 0, change: chooseImage, kind: "images" });
  pickers.push(picker);
  place(id).append(picker.node);
}

/** The centre crop of an image, as the network sees it: RGB [side, side, 3]. */
function centreCrop(index) {
  const side = Math.round((images.side * images.crop) / images.size);
  const first = Math.floor((images.side - side) / 2);
  return { side, pixels: cropOf(images.of(index), images.side, first, first, side) };
}

/** A picture of the crop with a frame: top, left and size in pixels of the crop. */
function withFrame(picture, [top, left, size]) {
  const frame = element("span", { class: "outline light", "aria-hidden": "true" });
  const share = (value) => `${(100 * value) / images.crop}%`;
  const ends = {
    top: share(top),
    left: share(left),
    width: share(size),
    height: share(size),
  };
  Object.assign(frame.style, ends);
  return element("div", { class: "framed large clipped" }, picture, frame);
}

function framedCrop(frame, label) {
  const { pixels, side } = centreCrop(images.chosen);
  return withFrame(pixelPicture(pixels, side, label), frame);
}

function cropOf(pixels, size, top, left, side, mirrored = false) {
  const crop = new Uint8ClampedArray(3 * side ** 2);
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const x = left + (mirrored ? side - 1 - column : column);
      const from = 3 * ((top + row) * size + x);
      crop.set(pixels.subarray(from, from + 3), 3 * (row * side + column));
    }
  return crop;
}
