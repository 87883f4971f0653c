"""The part of Protocol Buffers' wire format that Caffe's files need.

A message is a sequence of fields, each a key (number * 8 + wire type) and a value.
Values are views, and each length is checked against the bytes present, so a damaged
file cannot cause large allocations. That bound is why this is not the protobuf package.
"""

import numpy as np

# An integer, or the bytes of a float, a string, a packed list or a message.
Value = int | memoryview

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 1_000_000  # Caffe packs its lists, so its messages have few


class Malformed(ValueError):
    """The bytes are not a message; the text says what is wrong, and where."""


def fields(value: Value) -> dict[int, list[Value]]:
    """The values of a message by field number, in file order."""
    message = _bytes(value)
    values: dict[int, list[Value]] = {}
    place = 0
    for _ in range(_MAX_FIELDS):
        if place == len(message):
            return values
        key, place = _varint(message, place)
        field, place = _value(message, place, key & 7)
        values.setdefault(key >> 3, []).append(field)
    raise Malformed(f"a message has more than {_MAX_FIELDS:,} fields")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """An integer and the offset after it: 7 bits per byte, lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        if place == len(message):
            raise Malformed(f"it ends inside a number at byte {place} of a message")
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
        raise Malformed(f"byte {place} of a message has wire type {wire_type}")
    end = place + length
    if end > len(message):
        raise Malformed(
            f"a value of {length:,} bytes begins {len(message) - place:,} bytes before "
            "its end: it has been cut off"
        )
    return message[place:end], end


def text(value: Value) -> str:
    """A string."""
    return bytes(_bytes(value)).decode("utf-8", "replace")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise Malformed(f"the number {value} stands in place of a string or a message")
    return value


def number(value: Value) -> float:
    """An integer or a float32."""
    if isinstance(value, int):
        return value
    if len(value) != 4:
        raise Malformed(f"a number has {len(value)} bytes instead of 4")
    return float(np.frombuffer(value, "<f4")[0])


def floats(values: list[Value], dtype: str) -> np.ndarray:
    """A list of floats, packed or not: `[numbers]`."""
    size = np.dtype(dtype).itemsize
    parts = [_bytes(value) for value in values]
    for part in parts:
        if len(part) % size:
            raise Malformed(
                f"a list of {len(part):,} bytes does not hold {size}-byte numbers"
            )
    if len(parts) == 1:
        return np.frombuffer(parts[0], dtype)
    return np.frombuffer(b"".join(parts), dtype)


def integers(values: list[Value]) -> list[int]:
    """A list of integers, packed or not."""
    numbers = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            numbers.append(number)
    return numbers
