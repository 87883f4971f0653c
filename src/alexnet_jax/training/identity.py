"""What makes a run the same run: configuration and data, stored in each checkpoint."""

from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.data import content
from alexnet_jax.data.source import Source
from alexnet_jax.errors import UserError
from alexnet_jax.system import provenance

Identity = dict[str, Any]
"""JSON with "config", "data" (split to fingerprint and sample), and the provenance."""


def identity_of(config: Config, train_source: Source, eval_source: Source) -> Identity:
    return {
        "config": config_json.to_json(config),
        "data": {
            role: {"dataset": source.fingerprint, "sample": content.sample(source)}
            for role, source in (("train", train_source), ("eval", eval_source))
        },
        **provenance.software(),
    }


def refuse_other(saved: Identity, now: Identity, what: str) -> None:
    """Refuses to continue a run with another configuration or with other data.

    Args:
        what: names the checkpoint in the message.

    Raises:
        UserError: they differ; the message lists how.
    """
    if "config" not in saved or "data" not in saved:
        raise UserError(
            f"{what} was written by an older version, without its configuration: use "
            "that version, or another --workdir."
        )
    refuse_other_config(saved["config"], now["config"], what)
    lines = _other_data(saved["data"], now["data"])
    if lines:
        raise UserError(
            f"{what} was trained on other data:\n"
            + "\n".join(lines)
            + "\nUse the same dataset, or another --workdir."
        )


def refuse_other_config(old: Any, new: dict[str, Any], what: str) -> None:
    """Raises UserError if a field differs that determines the result."""
    if not isinstance(old, dict):
        raise UserError(f"{what} holds no configuration.")
    lines = config_json.differing_lines(
        _fields_that_matter(config_json.completed(old)), _fields_that_matter(new)
    )
    if lines:
        raise UserError(
            f"{what} belongs to a run with another configuration:\n"
            + "\n".join(lines)
            + "\nUse another --workdir, or the same options to resume."
        )


def _fields_that_matter(config: dict[str, Any]) -> dict[str, Any]:
    """The fields that determine the result, by dotted name.

    The length of a run is left out if the schedule does not depend on it, so that a
    finished run can be extended. How the images are stored is left out too, so that a
    run that stopped at a damaged image can continue without it.
    """
    fields = config_json.flatten(config)
    if fields.get("optimizer.schedule") not in ("cosine", "levels"):
        fields.pop("num_epochs", None)
    for how in ("data_dir", "folder", "stored", "damaged"):
        fields.pop(f"data.{how}", None)
    return {name: v for name, v in fields.items() if not name.startswith("run.")}


def _other_data(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    lines = []
    for role, here in now.items():
        there = saved[role]
        if there["dataset"] != here["dataset"]:
            lines.append(f"  {role}: {there['dataset']} there, {here['dataset']} now")
        elif changed := content.count_changed(there["sample"], here["sample"]):
            lines.append(
                f"  {role}: {here['dataset']}, but {changed} of "
                f"{len(here['sample'])} sampled images or labels have changed"
            )
    return lines
