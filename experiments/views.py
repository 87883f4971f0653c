"""The command: python -m experiments.views --network cifar10

Test error of a trained network with the centre view and with the ten views of the paper
(section 4.1): four corners, the centre and their mirror images, averaged after softmax.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet_jax import command
from alexnet_jax.config import MeshConfig
from alexnet_jax.system import provenance
from alexnet_jax.training import record

if TYPE_CHECKING:  # slow imports come after the options are parsed
    from alexnet_jax.inference.trained_model import Model


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    network: Path = Path("cifar10")
    """A run directory, a weights file or a network that comes with the package."""
    data_dir: str | None = None
    """The tfds data directory. None means that of the run."""
    record: Path | None = None
    """Writes the record to this file (.json) or folder."""


def run(options: Options) -> str:
    """Evaluates on the network's test images; returns a summary."""
    from alexnet_jax.inference import trained_model

    if options.record is not None:
        record.check_writable(options.record)
    model = trained_model.load(options.network)
    began = time.monotonic()
    scores = {views: evaluate(model, views, options.data_dir) for views in (1, 10)}
    minutes = round((time.monotonic() - began) / 60, 1)
    found = record_of(model, scores) | {"minutes": minutes}
    if options.record is not None:
        record.write(options.record, found)
    one, ten = (100 * scores[views]["top1_error"] for views in (1, 10))
    return (
        f"{found['dataset']} {found['split']}, {scores[1]['examples']:,} images: "
        f"centre view {one:.2f}%, ten views {ten:.2f}%, gain {one - ten:.2f} points"
    )


def evaluate(model: "Model", views: int, data_dir: str | None) -> dict[str, Any]:
    """Mean loss, errors as fractions and number of images."""
    from alexnet_jax.evaluation import ensemble, test_sets

    data = model.network.config.data
    spec = test_sets.find(data.name, data.eval_split)
    answers = ensemble.ask(
        [model],
        [ensemble.open_set(model.network, spec, data_dir, "stop")],
        spec,
        weights=(1.0,),
        num_views=views,
        batch_size=None,
        num_workers=None,
    )
    return ensemble.mean_scores(answers.together, answers, None)


def record_of(model: "Model", scores: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The result is of the centre view; "trained_by" made the network."""
    config = model.network.config
    return {
        "claim": f"views on {config.data.name}",
        "command": f"python -m experiments.views --network {config.data.name}",
        "trained_by": record.command(config),
        "dataset": config.data.name,
        "split": config.data.eval_split,
        "seed": config.seed,
        "epochs": config.num_epochs,
        "result": scores[1],
        "top1_error_by_views": {
            str(views): score["top1_error"] for views, score in scores.items()
        },
        **provenance.of_result(),
    }


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.views", __doc__ or "")
    return command.run(lambda: print(run(options)), mesh=MeshConfig())


if __name__ == "__main__":
    sys.exit(main())
