"""Files of Caffe, written apart from the package: the bytes of Protocol Buffers by the
numbers of caffe.proto."""

import struct

import numpy as np

GROUPED = ("conv2", "conv4", "conv5")


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def whole(number, value):
    return varint(number << 3) + varint(value)


def real(number, value):
    return varint(number << 3 | 5) + struct.pack("<f", value)


def block(number, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array, *, old=False, packed=True, double=False):
    """BlobProto: its four sizes in old files, its shape in new ones, then the data."""
    if old:
        sizes = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(whole(i + 1, size) for i, size in enumerate(sizes))
    else:
        dims = b"".join(varint(size) for size in array.shape)
        head = block(7, block(1, dims))
    if double:
        return head + block(8, array.astype("<f8").tobytes())
    if packed:
        return head + block(5, array.astype("<f4").tobytes())
    return head + b"".join(real(5, float(value)) for value in array.ravel())


def graph(network):
    """(name, type, bottom, settings) of the layers, as in train_val.prototxt."""
    rows, last = [("data", "Data", None, b"")], "data"

    def add(name, kind, settings=b"", in_place=False):
        nonlocal last
        rows.append((name, kind, last, settings))
        last = last if in_place else name

    for i, (pad, size, stride) in enumerate(
        [(0, 11, 4), (2, 5, 1), (1, 3, 1), (1, 3, 1), (1, 3, 1)], start=1
    ):
        conv = whole(4, size)
        conv += whole(3, pad) if pad else b""
        conv += whole(6, stride) if stride > 1 else b""
        conv += whole(5, 2) if f"conv{i}" in GROUPED else b""
        add(f"conv{i}", "Convolution", conv)
        add(f"relu{i}", "ReLU", in_place=True)
        norm = ("norm", "LRN", whole(1, 5) + real(2, 1e-4) + real(3, 0.75))
        pool = ("pool", "Pooling", whole(1, 0) + whole(2, 3) + whole(3, 2))
        after = {1: [norm, pool], 2: [norm, pool], 5: [pool]}.get(i, [])
        for name, kind, settings in after[:: -1 if network == "CaffeNet" else 1]:
            add(f"{name}{i}", kind, settings)
    for name in ("fc6", "fc7", "fc8"):
        add(name, "InnerProduct")
    add("prob", "Softmax")
    return rows


PARAMETERS = {"Convolution": (106, 10), "LRN": (118, 18), "Pooling": (121, 19)}
V1_TYPES = {"Convolution": 4, "LRN": 15, "Pooling": 17, "InnerProduct": 14, "ReLU": 18}


def caffemodel(arrays, network="AlexNet", *, old=False, name=None, rows=None, **kinds):
    """The bytes of a .caffemodel.

    Args:
        arrays: {"conv1": (weights, biases), ...}, OIHW.
        old: by V1LayerParameter, else by LayerParameter.
        rows: see `graph`.
        kinds: see `blob`.
    """
    content = block(1, network if name is None else name)
    for layer, kind, bottom, settings in rows or graph(network):
        blobs = [blob(one, old=old, **kinds) for one in arrays.get(layer, ())]
        if old:
            message = block(2, bottom) if bottom else b""
            message += block(3, layer) + block(4, layer)
            message += whole(5, V1_TYPES.get(kind, 0))
            message += b"".join(block(6, one) for one in blobs)
        else:
            message = block(1, layer) + block(2, kind)
            message += block(3, bottom) if bottom else b""
            message += b"".join(block(7, one) for one in blobs)
        if settings:
            message += block(PARAMETERS[kind][old], settings)
        content += block(2 if old else 100, message)
    return content


def binaryproto(image):
    """The bytes of a mean file, of `[3, height, width]`, BGR."""
    return blob(np.asarray(image)[None], old=True)
