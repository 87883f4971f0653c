"""The wire format of Protocol Buffers, as far as Caffe's files need it.

A message is a row of fields, each a key (number * 8 + wire type) and a value. Nothing
is copied, and a file that is damaged costs no more than its own size.
"""

import numpy as np

# A whole number, or the bytes of a float, a text, a packed list or a message.
Value = int | memoryview

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MOST_FIELDS = 1_000_000  # Caffe packs its lists, so its messages have few


class Malformed(ValueError):
    """These bytes are no message: the text says what is wrong, and where."""


def fields(message: memoryview) -> dict[int, list[Value]]:
    """The values of a message by the numbers of their fields, in their order."""
    found: dict[int, list[Value]] = {}
    place = 0
    for _ in range(_MOST_FIELDS):
        if place == len(message):
            return found
        key, place = _varint(message, place)
        value, place = _value(message, place, key & 7)
        found.setdefault(key >> 3, []).append(value)
    raise Malformed(f"a message has more than {_MOST_FIELDS:,} fields")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A whole number and the place after it: 7 bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        if place == len(message):
            raise Malformed(f"it ends within a number at byte {place} of a message")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise Malformed(f"there is no number before byte {place} of a message")


def _value(message: memoryview, place: int, wire_type: int) -> tuple[Value, int]:
    if wire_type == _VARINT:
        return _varint(message, place)
    if wire_type == _LENGTH:
        length, place = _varint(message, place)
    elif wire_type in (_FIXED32, _FIXED64):
        length = 4 if wire_type == _FIXED32 else 8
    else:
        raise Malformed(f"byte {place} of a message is of wire type {wire_type}")
    end = place + length
    if end > len(message):
        raise Malformed(
            f"a value of {length:,} bytes begins {len(message) - place:,} bytes before "
            "its end: it has been cut off"
        )
    return message[place:end], end


def message(value: Value) -> dict[int, list[Value]]:
    """The fields of a message within a message."""
    return fields(_bytes(value))


def text(value: Value) -> str:
    """A string."""
    return bytes(_bytes(value)).decode("utf-8", "replace")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise Malformed(f"there is the number {value} in place of a text or a message")
    return value


def number(value: Value) -> float:
    """A whole number, or a float of 32 bits."""
    if isinstance(value, int):
        return value
    if len(value) != 4:
        raise Malformed(f"a number has {len(value)} bytes instead of 4")
    return float(np.frombuffer(value, "<f4")[0])


def floats(values: list[Value], dtype: str) -> np.ndarray:
    """A list of floating-point numbers, packed or one by one: `[numbers]`."""
    size = np.dtype(dtype).itemsize
    parts = [_bytes(value) for value in values]
    for part in parts:
        if len(part) % size:
            raise Malformed(f"a list of {len(part):,} bytes has no numbers of {size}")
    if len(parts) == 1:
        return np.frombuffer(parts[0], dtype)
    return np.frombuffer(b"".join(parts), dtype)


def integers(values: list[Value]) -> list[int]:
    """A list of whole numbers, packed or one by one."""
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        place = 0
        while place < len(value):
            one, place = _varint(value, place)
            found.append(one)
    return found
