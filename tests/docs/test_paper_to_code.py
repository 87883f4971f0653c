"""docs/paper_to_code.md: its files, names, values and sizes are those of the code.

The head of a table's first column says what is compared: field, layer, constant, size,
question, marked.
"""

import ast
import dataclasses
import importlib
import math
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from alexnet_jax import config_json, model, presets
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS
from experiments import plan

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "alexnet_jax"
PAGE = (REPOSITORY / "docs" / "paper_to_code.md").read_text()
BOTH = ("alexnet_paper", "alexnet2012")
FIELDS = {
    preset: config_json.flatten(dataclasses.asdict(presets.PRESETS[preset]))
    for preset in BOTH
}

_PATH = r"`((?:\w+/)*\w+\.py)`"
# `path.py`: `name`, `name.member`
REFERENCE = re.compile(rf"{_PATH}((?:(?:: |, )`[A-Za-z_]\w*(?:\.(?!py`)\w+)*`)*)")


def tables():
    """Each table as its rows, dictionaries by the heads of the columns."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        head, _, *rows = (
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in block.splitlines()
        )
        yield [dict(zip(head, row, strict=True)) for row in rows]


def rows_of(kind):
    """The rows of all tables whose first column has that head."""
    return [row for table in tables() for row in table if next(iter(table[0])) == kind]


def code(cell):
    """The text between the backticks of a cell, or None."""
    found = re.fullmatch("`(.*)`", cell)
    return found and found[1]


def value(cell):
    return ast.literal_eval(code(cell))


def expanded(name):
    """`conv{1,2}.bias` as `conv1.bias` and `conv2.bias`."""
    before, brace, rest = name.partition("{")
    options, _, after = rest.partition("}")
    return (
        [before + option + after for option in options.split(",")] if brace else [name]
    )


def path_of(text):
    return next(
        (path for path in (PACKAGE / text, REPOSITORY / text) if path.is_file()), None
    )


def references():
    """All (path, name) on the page; the name is None where the file stands alone."""
    for path, names in REFERENCE.findall(PAGE):
        yield from ((path, name) for name in re.findall("`(.*?)`", names) or [None])


def defined(body, name):
    """The statement of a module or class that defines `name`."""
    for node in body:
        targets = getattr(node, "targets", [getattr(node, "target", node)])
        for target in targets:
            if name in (getattr(target, "id", None), getattr(target, "name", None)):
                return node
    return None


def test_files_and_names_exist():
    for path, name in set(references()):
        assert path_of(path), f"there is no {path}"
        body = ast.parse(path_of(path).read_text()).body
        for part in name.split(".") if name else ():
            node = defined(body, part)
            assert node, f"{path} defines no {name}"
            body = getattr(node, "body", [])


def test_every_path_exists():
    """Also of folders, and of what the pattern of references would let through."""
    for path in re.findall(r"`([\w./]*(?:/|\.py)[\w./]*)`", PAGE):
        assert (PACKAGE / path).exists() or (REPOSITORY / path).exists(), path


def stated():
    """(preset, field, cell) of the tables of fields and of the table of layers."""
    for row in rows_of("field"):
        for field in expanded(code(row["field"])):
            yield from ((preset, field, row[f"`{preset}`"]) for preset in BOTH)
    for row in rows_of("layer"):
        for head, cell in row.items():
            if code(head) and cell:
                field = f"{code(row['layer'])}.{code(head)}"
                yield from ((preset, field, cell) for preset in BOTH)


def is_without_effect(preset, field):
    """The constants of a normalisation or pool that is off, and others of its kind."""
    layer, _, last = field.rpartition(".")
    fields = FIELDS[preset]
    return (
        (last != "position" and fields.get(f"{layer}.position") == "off")
        or (last != "window" and fields.get(f"{layer}.window") == 1)
        or field.endswith("spatial_norm.across_columns")
    )


def test_fields_have_the_stated_values():
    for preset, field, cell in stated():
        if cell == "-":
            assert is_without_effect(preset, field), field
        else:
            assert FIELDS[preset][field] == value(cell), (preset, field)


def test_every_field_is_stated_once():
    for preset in BOTH:
        listed = [field for p, field, cell in stated() if p == preset and cell != "-"]
        needed = [
            field
            for field in FIELDS[preset]
            if not field.startswith("run.") and not is_without_effect(preset, field)
        ]
        assert sorted(listed) == sorted(needed)


def test_constants_have_the_stated_values():
    for row in rows_of("constant"):
        path, names = REFERENCE.fullmatch(row["constant"]).groups()
        relative = path_of(path).with_suffix("").relative_to(REPOSITORY)
        found = importlib.import_module(".".join(relative.parts).removeprefix("src."))
        for part in names.strip(": `").split("."):
            found = getattr(found, part)
        assert found == value(row["value"]), row["constant"]


def sizes():
    """Kernels, biases, multiply-adds and units of each layer, and of all."""
    config = presets.ALEXNET2012
    image = jax.ShapeDtypeStruct((1, *[config.augment.crop_size] * 2, 3), jnp.float32)
    net = model.AlexNet(config.model)
    params = jax.eval_shape(partial(net.init, train=False), jax.random.key(0), image)
    params = params["params"]
    stages = jax.eval_shape(partial(model.stages, config.model), params, image)
    rows = {}
    for name, arrays in params.items():
        outputs = stages[f"{name}.linear"].shape
        kernel, bias = arrays["kernel"].size, arrays["bias"].size
        positions = math.prod(outputs[1:-1])
        rows[name] = kernel, bias, kernel * positions, math.prod(outputs)
    return rows | {"all": tuple(map(sum, zip(*rows.values(), strict=True)))}


def test_sizes_are_those_of_the_network():
    heads = ("kernels", "biases", "multiply-adds", "units")
    listed = {
        row["size"].strip("`"): tuple(int(row[head].replace(",", "")) for head in heads)
        for row in rows_of("size")
    }
    assert listed == sizes()
    for row in rows_of("size"):
        agrees = row["Figure 2"].replace(",", "") == row["units"].replace(",", "")
        assert agrees or row["size"] in ("`conv1`", "all")


def test_sizes_in_the_text():
    kernels, biases, _, units = sizes()["all"]
    assert f"{kernels + biases:,} and {units:,}" in PAGE
    for layer, share in re.findall(r"(conv\d) (?:has )?(\d\.\d\d) %", PAGE):
        part = sum(sizes()[layer][:2]) / (kernels + biases)
        assert f"{part:.2%}" == f"{share}%", layer


def test_claims_are_the_targets_of_the_questions():
    def number(cell):
        return value(cell) if cell else None

    listed = [
        (
            code(row["question"]),
            code(row["variant"]),
            *map(number, (row["paper"], row["log"])),
        )
        for row in rows_of("question")
    ]
    targets = [
        (name, variant, target.paper, target.log)
        for name in plan.question_names()
        for variant, target in plan.open_experiment(
            name, presets.ALEXNET2012
        ).targets.items()
    ]
    assert sorted(listed, key=str) == sorted(targets, key=str)


def marked():
    """(path, name) of what each `# Deviation:` stands in, or above."""
    for path in PACKAGE.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "# Deviation" in line:
                node = next(node for node in body if node.end_lineno >= number)
                name = getattr(node, "name", None) or ast.unparse(node.targets[0])
                yield path.relative_to(PACKAGE).as_posix(), name


def test_deviations_are_listed():
    listed = [
        (path, names.strip(": `"))
        for row in rows_of("marked")
        for path, names in REFERENCE.findall(row["marked"])
    ]
    assert sorted(listed) == sorted(marked())


def test_fields_in_the_text_exist():
    layers = {f"model.{name}" for name in (*CONV_LAYERS, *DENSE_LAYERS)}
    known = FIELDS["alexnet2012"].keys() | layers
    rooms = "model|augment|optimizer|data"
    for field in re.findall(rf"`((?:{rooms})\.(?!py`)[\w.{{}},]+)`", PAGE):
        assert set(expanded(field)) <= known
