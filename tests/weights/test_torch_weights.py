"""Against PyTorch, of all layers in full width: the same weights and real images give
the same activations; files of PyTorch. Skipped without torch.

`pytest -k parity -s` on this file prints the largest differences.
"""

import io
import pickle
import tarfile

import numpy as np
import pytest
from caffe_files import caffemodel
from foreign_weights import NETWORKS, random_arrays, state_dict

import alexnet_jax
from alexnet_jax import convert
from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.weights import network_file

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch_networks  # noqa: E402

TITLES = {"caffe_alexnet": "AlexNet", "caffenet": "CaffeNet"}
MEAN = {"caffe": (104.007, 116.669, 122.679), "torchvision": (0.485, 0.456, 0.406)}
STD = (0.229, 0.224, 0.225)
BATCH = 50


@pytest.fixture(scope="module")
def pictures(test_data):
    """The 300 validation images, uint8 `[300, 256, 256, 3]`."""
    path = test_data / "ilsvrc2012_sample" / "ILSVRC2012_img_val.tar"
    with tarfile.open(path) as tar:
        names = sorted(member.name for member in tar.getmembers() if member.isfile())
        files = [tar.extractfile(name) for name in names]
        decoded = [decoding.decode(file.read()) for file in files if file]
    return np.stack([decoding.fit(one, 256) for one in decoded])


def write_source(network, arrays, path):
    if network == "torchvision_alexnet":
        path = path / "alexnet.pth"
        state = {n: torch.from_numpy(one) for n, one in state_dict(arrays).items()}
        torch.save(state, path)
        return path
    path = path / f"{network}.caffemodel"
    # bvlc_alexnet.caffemodel is of the old form.
    old = network == "caffe_alexnet"
    path.write_bytes(caffemodel(arrays, TITLES[network], old=old))
    return path


def converted(source, dest, **options):
    convert.run(convert.Options(source=source, dest=dest, **options))
    return dest


def theirs(network, image):
    """The input of the original, from uint8 `[batch, 256, 256, 3]`, RGB."""
    if network == "torchvision_alexnet":
        x = (image[:, 16:240, 16:240] / 255 - MEAN["torchvision"]) / STD
    else:
        x = image[:, 14:241, 14:241, ::-1] - np.array(MEAN["caffe"])
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)
    return torch.from_numpy(x)


@pytest.mark.parametrize("network", NETWORKS)
def test_parity(network, pictures, tmp_path):
    """Every stage of every layer within 1e-4 of its largest value, in float32, and the
    same best class of all images."""
    arrays = random_arrays(network)
    source = write_source(network, arrays, tmp_path)
    model = alexnet_jax.load(converted(source, tmp_path / "ours.safetensors"))
    module = torch_networks.with_arrays(torch_networks.NETWORKS[network](), arrays)
    del arrays
    stages = list(model.layers())
    differences = dict.fromkeys(stages, 0.0)
    same = 0
    for start in range(0, len(pictures), BATCH):
        image = pictures[start : start + BATCH]
        found = model.features(image, stages, batch_size=BATCH)
        with torch.no_grad():
            expected = {k: v.numpy() for k, v in module(theirs(network, image)).items()}
        assert set(expected) == set(found)
        for name, array in expected.items():
            array = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
            ratio = np.abs(found[name] - array).max() / np.abs(array).max()
            differences[name] = max(differences[name], float(ratio))
        best = [logits["fc8.linear"].argmax(1) for logits in (found, expected)]
        same += int((best[0] == best[1]).sum())
    print(f"\n{network}, {len(pictures)} images: largest difference / largest value")
    for name, ratio in differences.items():
        print(f"  {name:16} {ratio:.1e}")
    print(f"  same best class: {same} of {len(pictures)}")
    assert max(differences.values()) < 1e-4
    assert same == len(pictures)


def test_pth_there_and_back(tmp_path):
    """Bit-equal through our format, and as torch itself reads it."""
    arrays = random_arrays("torchvision_alexnet", classes=17)
    source = write_source("torchvision_alexnet", arrays, tmp_path)
    ours = converted(source, tmp_path / "ours.safetensors")
    back = converted(ours, tmp_path / "back.pth")
    state = torch.load(back, weights_only=True)
    expected = state_dict(arrays)
    assert set(state) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name].numpy(), array)
    again = converted(back, tmp_path / "again.safetensors")
    one, other = network_file.read(ours), network_file.read(again)
    for layer, kinds in one.params.items():
        for kind, array in kinds.items():
            np.testing.assert_array_equal(other.params[layer][kind], array)
    assert one.config == other.config


class Program:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


REFUSED = {
    "empty": (lambda: b"", "is not a file of tensors, or is damaged"),
    "text": (lambda: b"no weights", "is not a file of tensors, or is damaged"),
    "cut": (lambda: saved({"a": torch.zeros(99)})[:-200], "not a file of tensors"),
    "a pickle": (lambda: pickle.dumps({"a": 1}), "not a file of tensors"),
    "a module": (lambda: saved(torch.nn.Linear(2, 2)), "not a file of tensors"),
    "a tensor": (lambda: saved(torch.zeros(3)), "holds a Tensor, not a state_dict"),
    "a number": (lambda: saved({"features.0.bias": 3}), "is a int, not a tensor"),
    "complex numbers": (
        lambda: saved({"features.0.bias": torch.zeros(3, dtype=torch.complex64)}),
        "is not a dense tensor",
    ),
    "a sparse tensor": (
        lambda: saved({"features.0.bias": torch.zeros(3, 3).to_sparse()}),
        "is not a dense tensor",
    ),
    "another network": (
        lambda: saved({"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}),
        r"the network has no layer1.0.conv1.weight \[64, 64, 3, 3\]",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    content, message = REFUSED[name]
    source = tmp_path / "net.pth"
    source.write_bytes(content())
    with pytest.raises(UserError, match=message) as raised:
        converted(source, tmp_path / "ours.safetensors")
    assert str(source) in str(raised.value)


def test_no_program_is_run(tmp_path):
    victim = tmp_path / "it has run"
    source = tmp_path / "net.pth"
    source.write_bytes(saved({"features.0.bias": Program(victim)}))
    with pytest.raises(UserError, match="not a file of tensors"):
        converted(source, tmp_path / "ours.safetensors")
    assert not victim.exists()


@pytest.mark.parametrize("wrapped", ["state_dict", "model", "module."])
def test_checkpoints_of_training_scripts(wrapped, tmp_path):
    """The weights are nested, or have the prefix of DataParallel."""
    arrays = random_arrays("torchvision_alexnet", classes=3)
    state = {n: torch.from_numpy(one) for n, one in state_dict(arrays).items()}
    if wrapped == "module.":
        content = {wrapped + name: one for name, one in state.items()}
    else:
        content = {"epoch": 3, wrapped: state}
    source = tmp_path / "checkpoint.pth"
    torch.save(content, source)
    found = network_file.read(converted(source, tmp_path / "ours.safetensors"))
    np.testing.assert_array_equal(found.params["fc8"]["bias"], arrays["fc8"][1])


def test_narrow_tensors(tmp_path):
    """bfloat16, which numpy does not have, becomes the same float32."""
    arrays = random_arrays("torchvision_alexnet", classes=3)
    state = {
        name: torch.from_numpy(one).to(torch.bfloat16)
        for name, one in state_dict(arrays).items()
    }
    source = tmp_path / "narrow.pth"
    torch.save(state, source)
    found = network_file.read(converted(source, tmp_path / "ours.safetensors"))
    expected = state["classifier.6.weight"].to(torch.float32).numpy().T
    np.testing.assert_array_equal(found.params["fc8"]["kernel"], expected)
