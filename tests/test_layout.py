"""The layout of the package: imports go one way, each dependency has its owners, every
field of the configuration is read, functions are short, no file knows a machine."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_jax import config

PACKAGE = Path(config.__file__).parent
REPOSITORY = Path(__file__).parents[1]

COMMANDS = {
    *("main", "evaluate", "predict", "features", "visualize", "explain"),
    *("convert", "prepare", "launch"),
}

# From what is chosen to what is run. A module may import its rank and those above.
RANKS = (
    ("errors", "ranges"),
    ("config",),
    ("config_checks", "config_json", "presets", "system"),
    ("columns", "bias", "convolution", "response_norm", "pooling", "layers", "augment")
    + ("optimizer", "metrics", "model"),
    ("data",),
    ("preparation", "train_step"),
    ("weights", "trained"),
    ("training",),
    ("train", "inference"),
    ("evaluation", "figures", "explanation"),
    ("command", *sorted(COMMANDS), "__main__"),
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
PAPER = {*RANKS[3], "train_step"}

OWNERS = {
    "flax": {"layers", "model"},
    "optax": {"train_step", "optimizer"},
    "orbax": {"training.checkpoint", "training.checkpoint_reading"},
    "tensorflow_datasets": {
        "data.digits",
        "data.tfds_records",
        "preparation.tfds_source",
    },
    "tyro": COMMANDS - {"evaluate"} | {"command"},
    "tensorboardX": {"training.metrics_writer"},
    "tqdm": {"system.progress"},
    "array_record": {"preparation.write_dataset"},
    "cv2": {"data.decoding"},
    "simplejpeg": {"data.decoding"},
    "PIL": {"data.decoding", "data.picture_reading", "data.digits"},
    "sklearn": {"data.digits", "inference.linear_probe"},
    "h5py": {"inference.feature_files"},
    "safetensors": {"weights.safetensors_file"},
    "tensorflow": set(),
    "torch": {"weights.torch_file"},
    "onnx": {"weights.onnx_file"},
    "huggingface_hub": {"weights.hub"},
    "matplotlib": {"figures.drawing"},
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            yield name, ast.parse(path.read_text())


MODULES = dict(modules())


def imported(tree):
    """Dotted names of all modules that are imported, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module):
    return module.split(".")[0]


def own_imports(name):
    """The modules of this package that a module imports, anywhere in the file."""
    for module in imported(MODULES[name]):
        own = module.removeprefix("alexnet_jax.")
        if own != module and own in MODULES and own != name:
            yield own


def test_every_module_has_a_room():
    lost = {name for name in MODULES if room(name) not in RANK}
    assert not lost, "put it into a room of RANKS, or add a room where it belongs"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    for own in own_imports(name):
        above = RANK[room(own)] <= RANK[room(name)]
        assert above, f"{name} imports {own}, whose room stands below"


def test_no_circles():
    waiting = {name: set(own_imports(name)) for name in MODULES}
    while free := {name for name, needs in waiting.items() if not needs}:
        waiting = {n: s - free for n, s in waiting.items() if n not in free}
    assert not waiting, "these import each other, or what does"


@pytest.mark.parametrize("name", sorted(PAPER))
def test_the_paper_stands_alone(name):
    """A reader who knows the paper needs only these files."""
    allowed = PAPER | {"config", "config_checks", "errors", "system"}
    assert {room(own) for own in own_imports(name)} <= allowed


@pytest.mark.parametrize("name", MODULES)
def test_data_and_system_know_nothing_of_the_paper(name):
    if room(name) in ("data", "system"):
        assert not {room(own) for own in own_imports(name)} & PAPER


@pytest.mark.parametrize("dependency", OWNERS)
def test_dependencies_have_owners(dependency):
    users = {
        name
        for name, tree in MODULES.items()
        if any(module.split(".")[0] == dependency for module in imported(tree))
    }
    assert users == OWNERS[dependency]


def test_programs_are_compiled_in_one_place():
    """`devices.compiled` has the rule of one program in flight on CPU. What is exported
    is traced and not run."""
    users = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.jit"
    }
    assert users == {"system.devices", "weights.exported"}


# Notes what a process tries to import, be it installed or not.
WATCH = """
import sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "torch", "matplotlib", "onnx"):
            print(name)
sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize("module", ["alexnet_jax", "alexnet_jax.train"])
def test_heavy_packages_stay_out(module):
    """Not even a dependency of ours, or a dependency of that, asks for them."""
    result = subprocess.run(
        [sys.executable, "-c", f"{WATCH}import {module}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_every_field_is_read():
    """A field that nothing reads is an option that does nothing."""
    code = "\n".join(
        path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "config.py"
    )
    for item in vars(config).values():
        if dataclasses.is_dataclass(item):
            for field in dataclasses.fields(item):
                # Layers are reached by name in loops over ("conv1", net.conv1).
                assert re.search(rf"\.{field.name}\b", code), (item, field.name)


@pytest.mark.parametrize("name", MODULES)
def test_functions_are_short(name):
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.FunctionDef):
            limit = 100 if node.name == "train_and_evaluate" else 50
            length = node.end_lineno - node.lineno + 1
            assert length <= limit, f"{name}.{node.name} has {length} lines"


def test_files_are_short():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path.name


def test_no_path_of_a_machine():
    """Files that others get name no directory of the machine they were written on."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    machine = re.compile(rb"(?<![\w./~-])/(work|root|home|Users)/")
    for name in filter(None, listed.stdout.split("\0")):
        path = REPOSITORY / name
        found = machine.search(path.read_bytes()) if path.is_file() else None
        assert not found, f"{name} has a path that begins with {found[0]}"
