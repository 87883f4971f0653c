"""Reads the text of a compiled program (HLO): the bytes that devices send to each
other, and the bytes that kernels read and write."""

import functools
import math
import re
from typing import NamedTuple

_ARRAY = re.compile(
    r"(?P<dtype>[fsu]\d+|pred|bf16)\[(?P<sizes>[\d,]*)\](?P<layout>\{[^}]*\})?"
)


def array_bytes(shape: str) -> int:
    """Bytes in main memory of all arrays of a shape, "(f32[8,256]{1,0}, bf16[64]{0})".

    On TPU an array in S(1) lies in the memory of the core, not in the main memory.
    """
    total = 0
    for array in _ARRAY.finditer(shape):
        if "S(1)" in (array["layout"] or ""):
            continue
        elements = math.prod(int(n) for n in array["sizes"].split(",") if n)
        bits = 8 if array["dtype"] == "pred" else int(re.sub(r"\D", "", array["dtype"]))
        total += elements * bits // 8
    return total


# --- between devices ------------------------------------------------------------------


class Collective(NamedTuple):
    """One operation between devices."""

    kind: str
    group: int
    """Number of devices that take part."""
    sent: int
    """Bytes that each device sends."""


_COLLECTIVE = re.compile(
    r"= (?P<shape>.*?) (?P<kind>all-gather|all-reduce|reduce-scatter|all-to-all|"
    r"collective-permute)(?P<start>-start)?\(.*?"
    r"(?:replica_groups|source_target_pairs)=(?P<groups>.*)"
)


def collectives(text: str) -> list[Collective]:
    """The collectives of a program, with bytes by ring algorithms.

    If the result has n bytes on each of g devices, all-gather sends n (g - 1) / g,
    reduce-scatter n (g - 1) and all-reduce 2 n (g - 1) / g.
    """
    operations = []
    for match in _COLLECTIVE.finditer(text):
        group = _group_size(match["groups"])
        size = _result_bytes(match, group)
        sent = {
            "all-gather": size * (group - 1) // group,
            "reduce-scatter": size * (group - 1),
            "all-reduce": 2 * size * (group - 1) // group,
        }
        bytes_sent = sent.get(match["kind"], size)
        operations.append(Collective(match["kind"], group, bytes_sent))
    return operations


def _result_bytes(match: re.Match[str], group: int) -> int:
    """Bytes of the result on each device. On GPUs the tuple of an operation that has
    been started holds its operands too; their size relative to the result is known."""
    size = array_bytes(match["shape"].replace("S(1)", ""))
    if match["start"] and match["shape"].startswith("("):
        if match["kind"] == "all-gather":
            return size * group // (group + 1)
        if match["kind"] == "reduce-scatter":
            return size // (group + 1)
    return size


def _group_size(groups: str) -> int:
    """Number of devices per group.

    Args:
        groups: "{{0,1},{2,3}}", "[2,2]<=[4]" (number of groups, size) or "mesh['a'=2,
            'b'=4] {'b'}" (sizes of the axes, and the axes of the group).
    """
    if groups.startswith("mesh["):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", groups.split("]")[0]))
        axes = re.findall(r"'(\w+)'", groups[groups.index("{") :].split("}")[0])
        return math.prod(int(sizes[axis]) for axis in axes)
    if groups.startswith("["):
        return int(groups[1:].split("]")[0].split(",")[1])
    return groups.split("}")[0].count(",") + 1


# --- kernels --------------------------------------------------------------------------


class Kernel(NamedTuple):
    """An operation of the entry computation that reads and writes memory."""

    name: str
    category: str
    bytes: int
    """Operands and results."""


class _Instruction(NamedTuple):
    shape: str
    kind: str
    operands: list[str]
    scope: str
    """Where in the source it comes from: "jit(train_step)/jvp(AlexNet)/..."."""


_INSTRUCTION = re.compile(
    r"^\s*(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<shape>.*?) (?P<kind>[a-z][\w\-]*)"
    r"\((?P<operands>.*?)\)(?:, (?P<attributes>.*))?$",
    re.MULTILINE,
)
_NO_KERNEL = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota"}

# The first pattern that is found in the scope says the category. Flax writes the
# methods of the network into it, `jax.named_scope` in train_step.py the rest.
_CATEGORIES = {
    "normalisation": r"_normalize",
    "dense": r"_dense|_hidden|\['fc\d'\]",
    "convolution": r"_convolution|\['conv\d'\]",
    "pooling and activation": r"_convolve",
    "augmentation": r"/augmentation/|batch\['image'\]|^images",
    "update": r"/update/|opt_state",
}
CATEGORIES = (*_CATEGORIES, "other")


def kernels(text: str) -> list[Kernel]:
    """The kernels of a program: fusions, calls of libraries, copies."""
    entry = text[text.index("\nENTRY ") :]
    instructions = {
        match["name"]: _Instruction(
            match["shape"],
            match["kind"],
            re.findall(r"%([\w.\-]+)", match["operands"]),
            _scope(match["attributes"] or "") or _scope_of_called(match, text),
        )
        for match in _INSTRUCTION.finditer(entry)
    }

    @functools.cache
    def category(name: str) -> str:
        """By its own scope, or else by that of its first operand."""
        instruction = instructions.get(name)
        if instruction is None:
            return "other"
        found = _category_of_scope(instruction.scope)
        if found == "other" and not instruction.scope and instruction.operands:
            return category(instruction.operands[0])
        return found

    return [
        Kernel(name, category(name), _touched(instruction, instructions))
        for name, instruction in instructions.items()
        if instruction.kind not in _NO_KERNEL and not instruction.kind.endswith("-done")
    ]


def _scope_of_called(match: re.Match[str], text: str) -> str:
    """The scope of the last instruction that has one in what a fusion computes."""
    called = re.search(r"calls=%([\w.\-]+)", match["attributes"] or "")
    if called is None:
        return ""
    begin = text.index(f"\n%{called[1]} (")
    scopes = [
        _scope(line) for line in text[begin : text.index("\n}", begin)].split("\n")
    ]
    return next(filter(None, reversed(scopes)), "")


def _scope(attributes: str) -> str:
    found = re.search(r'op_name="((?:[^"\\]|\\.)*)"', attributes)
    return found[1].replace("\\'", "'") if found else ""


def _category_of_scope(scope: str) -> str:
    for category, pattern in _CATEGORIES.items():
        if re.search(pattern, scope):
            return category
    return "other"


def _touched(instruction: _Instruction, instructions: dict[str, _Instruction]) -> int:
    """Bytes of operands and results. The tuple of "...-start" holds both."""
    result = array_bytes(instruction.shape)
    if instruction.kind.endswith("-start") and instruction.shape.startswith("("):
        return result
    operands = {name for name in instruction.operands if name in instructions}
    return result + sum(array_bytes(instructions[name].shape) for name in operands)


def bytes_by_category(kernels: list[Kernel]) -> dict[str, int]:
    """Bytes that the kernels of each category read and write."""
    total = dict.fromkeys(CATEGORIES, 0)
    for kernel in kernels:
        total[kernel.category] += kernel.bytes
    return total
