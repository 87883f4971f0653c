"""What others may hand in does no harm: fuzzed configurations, archives, checkpoints,
images; the campaigns do the same with many more examples."""

import io
import json
import os
import tarfile

import hostile
import jax
import pytest

from alexnet_jax import columns, presets, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.preparation import imagenet_tars
from alexnet_jax.training import checkpoint, workdir


def test_configs(tmp_path):
    hostile.configs(60, tmp_path)


def test_archives(tmp_path):
    hostile.archives(40, tmp_path)


def test_images():
    hostile.pictures(60)


def test_weight_files(tmp_path):
    hostile.weight_files(150, tmp_path)


def test_checkpoints(tmp_path):
    mesh = columns.make_mesh(MeshConfig(data=1, column=2), 2, jax.devices())
    with jax.set_mesh(mesh):
        key = jax.random.key(0)
        state = train_step.create_train_state(presets.DIGITS, mesh, key)
    with checkpoint.Checkpoints(tmp_path / "checkpoints", keep=2) as opened:
        for step in (1, 2):
            opened.save(state, step, {}, None)
    abstract = train_step.abstract_train_state(presets.DIGITS, mesh)
    hostile.checkpoints(15, tmp_path / "checkpoints", abstract)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("model.conv1.features", 10**12, "features 1000000000000 must"),
        ("model.conv1.features", -4, "must be greater than 0"),
        ("model.num_columns", 65, "--model.num-columns 65 must be from 1 to 64"),
        ("augment.pixel_scale", [1.0, 1.0], "augment.pixel_scale is "),
        (
            "augment.pixel_scale",
            [1.0, 0.0, 1.0],
            "pixel-scale 1 0 1: 0 must",
        ),
        (
            "model.conv2.padding",
            [-1, 0],
            "--model.conv2.padding -1 0: -1 must",
        ),
        ("model.conv1.features", "96", "model.conv1.features is '96'"),
        ("model.fc8", None, "model.fc8 is 'None'"),
        ("num_epochs", float("inf"), "--num-epochs inf"),
        ("num_epochs", float("nan"), "--num-epochs nan"),
        ("model.activation", "__import__", "model.activation is '__import__'"),
        ("run.surprise", 1, "surprise"),
    ],
)
def test_absurd_configurations(tmp_path, name, value, message):
    workdir.write_config(tmp_path, presets.DIGITS)
    content = json.loads((tmp_path / "config.json").read_text())
    *above, last = name.split(".")
    inner = content
    for part in above:
        inner = inner[part]
    inner[last] = value
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        workdir.read_config(tmp_path)


def test_a_configuration_that_is_too_deep(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not valid JSON"):
        workdir.read_config(tmp_path)


@pytest.mark.parametrize(
    "name, kind, message",
    [
        ("../../escaped.JPEG", tarfile.REGTYPE, "lies outside the archive"),
        ("/tmp/escaped.JPEG", tarfile.REGTYPE, "lies outside the archive"),
        ("ILSVRC2012_val_00000001.JPEG", tarfile.SYMTYPE, "is a link or a device"),
        ("ILSVRC2012_val_00000001.JPEG", tarfile.LNKTYPE, "is a link or a device"),
        ("ILSVRC2012_val_00000001.JPEG", tarfile.FIFOTYPE, "is a link or a device"),
    ],
)
def test_members_that_no_archive_should_have(tmp_path, name, kind, message):
    path = tmp_path / imagenet_tars.VALIDATION_TAR
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.linkname = "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(UserError, match=message):
        imagenet_tars.open_tars(tmp_path, None)
    assert os.listdir(tmp_path) == [path.name]
