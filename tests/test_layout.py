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

# A module may import those above it.
ORDER = [
    "config",
    "interruption",
    "relatives",
    "presets",
    "validation",
    "images",
    "photographs",
    "threads",
    "lock",
    "random_access",
    "datasets",
    "datasets.digits",
    "datasets.stored",
    "datasets.ilsvrc2012",
    "datasets.raw",
    "sources",
    "data",
    "statistics",
    "devices",
    "memory",
    "crash_report",
    "microbatches",
    "columns",
    "layers",
    "pooling",
    "model",
    "augment",
    "optimizer",
    "train_state",
    "seal",
    "checkpoint_folders",
    "checkpoint",
    "workdir",
    "tensorboard",
    "metrics",
    "scores",
    "classes",
    "job",
    "step_log",
    "bookkeeping",
    "train",
    "options",
    "main",
    "preparation",
    "preparation.originals",
    "preparation.tars",
    "preparation.folders",
    "preparation.tfrecord",
    "preparation.conversion",
    "preparation.journal",
    "preparation.writing",
    "preparation.raw_pixels",
    "preparation.checking",
    "prepare",
    "safetensors_file",
    "parameters",
    "weights",
    "trained",
    "inference",
    "predictions",
    "evaluation_sets",
    "ensembles",
    "result_files",
    "evaluate",
    "image_files",
    "taps",
    "loaded",
    "predict",
    "feature_files",
    "extraction",
    "neighbours",
    "linear_probe",
    "features",
    "figures",
    "figures.drawing",
    "figures.shown_images",
    "figures.kernels",
    "figures.best_labels",
    "figures.nearest_images",
    "figures.curves",
    "figures.maps",
    "visualize",
    "formats",
    "formats.protobuf",
    "formats.layouts",
    "formats.caffemodel",
    "formats.caffe",
    "formats.npz",
    "formats.torch_file",
    "formats.torchvision",
    "importing",
    "exporting",
    "convert",
]

OWNERS = {
    "flax": {"layers", "model"},
    "optax": {"scores", "optimizer", "train"},
    "orbax": {"checkpoint"},
    "tensorflow_datasets": {
        "datasets.digits",
        "datasets.stored",
        "preparation.tfrecord",
    },
    "tyro": {
        "options",
        "prepare",
        "evaluate",
        "predict",
        "features",
        "visualize",
        "convert",
    },
    "tensorboardX": {"tensorboard"},
    "tqdm": {"metrics"},
    "array_record": {"preparation.writing"},
    "cv2": {"images"},
    "simplejpeg": {"images"},
    "PIL": {"images", "photographs", "datasets.digits"},
    "sklearn": {"datasets.digits", "linear_probe"},
    "h5py": {"feature_files"},
    "safetensors": {"safetensors_file"},
    "tensorflow": set(),
    "torch": {"formats.torch_file"},
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


def test_every_module_has_its_place():
    assert set(MODULES) == set(ORDER), "add the module to ORDER, below what it imports"


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_one_way(name):
    above = ORDER[: ORDER.index(name)]
    for module in imported(MODULES[name]):
        own = module.removeprefix("alexnet_jax.")
        if own != module and own in ORDER:
            assert own in above, f"{name} imports {own}, which stands below it"


@pytest.mark.parametrize("dependency", OWNERS)
def test_dependencies_have_owners(dependency):
    users = {
        name
        for name, tree in MODULES.items()
        if any(module.split(".")[0] == dependency for module in imported(tree))
    }
    assert users == OWNERS[dependency]


def test_programs_are_compiled_in_one_place():
    """`devices.compiled` has the rule of one program in flight on CPU."""
    users = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.jit"
    }
    assert users == {"devices"}


# Notes what a process tries to import, be it installed or not.
WATCH = """
import sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "torch", "matplotlib"):
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
