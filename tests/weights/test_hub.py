"""hf://OWNER/NAME: read from a local cache without a network, written to a stand-in."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import alexnet_jax
from alexnet_jax import convert, trained
from alexnet_jax.errors import UserError
from alexnet_jax.weights import hub, model_card, network_file

package = pytest.importorskip(
    "huggingface_hub", reason="huggingface_hub is not installed"
)

COMMIT = "0123456789" * 4


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """What the hub's own program leaves on a machine, for one repository."""
    repository = tmp_path / "hub" / "models--someone--alexnet"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    blob = repository / "blobs" / "abc"
    blob.write_bytes(trained.locate("digits").read_bytes())
    (snapshot / hub.FILE).symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, value in (("HF_HUB_CACHE", str(tmp_path / "hub")), ("HF_HUB_OFFLINE", 1)):
        monkeypatch.setattr(constants, name, value)
    return tmp_path


@pytest.mark.parametrize(
    "address", ["hf://someone/alexnet", f"hf://someone/alexnet@{COMMIT}"]
)
def test_load_from_the_cache(address, cache):
    model = alexnet_jax.load(address)
    assert address in repr(model) and "93,674 parameters" in repr(model)
    assert hub.download(Path(address)).name == hub.FILE  # as options give it


def test_commands_take_the_address(cache):
    """In a process of its own, whose paths turn hf:// into hf:/."""
    result = subprocess.run(
        [sys.executable, "-m", "alexnet_jax.features", "--list"]
        + ["--workdir", "hf://someone/alexnet"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "fc8.linear" in result.stdout


@pytest.mark.parametrize(
    "address, message",
    [
        ("hf://someone/other", "hf://someone/other: model.safetensors cannot be"),
        ("hf://someone/alexnet@v2", "cannot be fetched"),
        ("hf://someone", "write hf://OWNER/NAME"),
        ("hf://a/b/c", "write hf://OWNER/NAME"),
    ],
)
def test_mistakes(address, message, cache):
    with pytest.raises(UserError, match=message) as raised:
        alexnet_jax.load(address)
    assert "\n" not in str(raised.value)


def test_push(monkeypatch, tmp_path):
    """The weights and the card are uploaded; the card says how to load them."""
    calls = []

    def upload_folder(*, repo_id, folder_path, revision):
        files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        calls.append((repo_id, revision, files))
        return f"https://hub/{repo_id}"

    monkeypatch.setattr(package, "create_repo", lambda name, exist_ok: None)
    monkeypatch.setattr(package, "upload_folder", upload_folder)
    options = convert.Options(
        source=Path("digits"),
        dest=Path("hf://someone/digits"),
        data_licence="CC BY 4.0",
    )
    text = convert.run(options)
    assert text.endswith("uploaded: https://hub/someone/digits")
    ((name, revision, files),) = calls
    assert (name, revision, set(files)) == (
        "someone/digits",
        None,
        {hub.FILE, hub.CARD},
    )
    (tmp_path / "model.safetensors").write_bytes(files[hub.FILE])
    network = network_file.read(tmp_path / "model.safetensors")
    assert network.origin["data_licence"] == "CC BY 4.0"
    card = files[hub.CARD].decode()
    assert 'alexnet_jax.load("hf://someone/digits")' in card
    assert "| Licence of the training data | CC BY 4.0 |" in card


def test_a_hub_that_refuses(monkeypatch):
    def refuse(*_, **__):
        raise OSError("401\nlong story")

    monkeypatch.setattr(package, "create_repo", refuse)
    options = convert.Options(source=Path("digits"), dest=Path("hf://someone/digits"))
    with pytest.raises(UserError, match=r"\(OSError: 401\). Its owner needs a token"):
        convert.run(options)
    with pytest.raises(UserError, match="holds our own format"):
        convert.run(
            convert.Options(source=options.source, dest=options.dest, torchvision=True)
        )


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        alexnet_jax.load("hf://someone/alexnet")


@pytest.mark.parametrize("name", trained.NAMES)
def test_the_hub_reads_the_front_matter(name):
    """With its own parser: task, library, and the error as an accuracy."""
    weights = trained.locate(name)
    card = model_card.text(weights, network_file.read(weights))
    data = package.ModelCard(card).data
    assert data.library_name == "alexnet_jax"
    assert data.pipeline_tag == "image-classification"
    (result,) = data.eval_results
    assert result.metric_type == "accuracy" and result.dataset_split == "test"
    assert f"top-1 error {1 - result.metric_value:.2%}" in card
