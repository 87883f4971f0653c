"""The run directory: which configuration it belongs to and where it came from.

A run directory holds `config.json`, `manifest.json`, `metrics.jsonl`, `tensorboard/`,
`checkpoints/` and `statistics.npz`. The same command in the same directory resumes; a
different configuration is refused, with the fields that differ.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any, cast

from alexnet_jax import config_checks
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.system import crash_report
from alexnet_jax.system.lock import Lock

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
)


def open_workdir(workdir: Path, config: Config) -> Lock:
    """Makes the directory the home of this configuration, and of this process.

    Returns:
        The lock, which holds as long as it is there.

    Raises:
        UserError: it cannot be written, another process works on it, or it holds
            another configuration.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"--workdir {workdir} cannot be written ({error.strerror}): choose a "
            "directory that you may write to."
        ) from error
    lock = Lock(workdir)
    if lock.died:
        _say_how_it_ended(workdir, lock.died)
    path = workdir / "config.json"
    if path.exists():
        _refuse_other(workdir, _completed(read_json(path)), config)
    write_json(path, dataclasses.asdict(config))
    return lock


def _say_how_it_ended(workdir: Path, died: str) -> None:
    number = died.split()[1] if died.startswith("process ") else ""
    why = crash_report.cause(workdir, int(number) if number.isdecimal() else 0)
    print(
        f"note: {died} did not finish in {workdir}: {why}. "
        "This run continues from the newest checkpoint.",
        file=sys.stderr,
        flush=True,
    )


def _completed(old: dict[str, Any]) -> dict[str, Any]:
    """With the values of fields that are younger than the run: what was done before."""
    try:
        return json.loads(json.dumps(dataclasses.asdict(_build(Config, old, ""))))
    except (TypeError, KeyError):
        return old


def _refuse_other(workdir: Path, old: dict[str, Any], config: Config) -> None:
    old_fields = _fields_that_matter(old)
    # Through JSON, which has lists for tuples.
    new = json.loads(json.dumps(dataclasses.asdict(config)))
    new_fields = _fields_that_matter(new)
    differing = [
        f"  --{name.replace('_', '-')}: {old_fields.get(name)} there, "
        f"{new_fields.get(name)} now"
        for name in sorted(old_fields.keys() | new_fields.keys())
        if old_fields.get(name) != new_fields.get(name)
    ]
    if differing:
        raise UserError(
            f"--workdir {workdir} belongs to a run with another configuration:\n"
            + "\n".join(differing)
            + "\nUse another --workdir, or the same options to resume."
        )


def _fields_that_matter(config: dict[str, Any]) -> dict[str, Any]:
    """Dotted fields that change the result. Not the length of a run whose schedule does
    not depend on it: that is how a finished run goes on. Not the way to the same
    images, so that a run that ended at a damaged one can go on without it."""
    fields = _flatten(config)
    if fields.get("optimizer.schedule") not in ("cosine", "levels"):
        fields.pop("num_epochs", None)
    for how in ("data_dir", "stored", "damaged"):
        fields.pop(f"data.{how}", None)
    return {name: v for name, v in fields.items() if not name.startswith("run.")}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def read_config(workdir: Path) -> Config:
    """The configuration of a run.

    Raises:
        UserError: the directory holds no run, or one of another version.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} holds no run: {path} is not there.")
    return build_config(read_json(path), path)


def build_config(content: Any, path: Path) -> Config:
    """A configuration from what JSON made of it.

    Args:
        path: where it stood, for the message.

    Raises:
        UserError: it is none, one of another version, or one that cannot be run.
    """
    try:
        config = _build(Config, content, "")
    except (TypeError, KeyError) as error:
        raise UserError(
            f"{path} is not of this version of the package, or damaged ({error})."
        ) from error
    config_checks.check_config(config)
    return config


def _build(kind: Any, value: Any, name: str) -> Any:
    """A value of that type from what JSON made of it; lists become tuples.

    Raises:
        TypeError: it is of another type; a field is missing or unknown.
    """
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        kinds = typing.get_type_hints(kind)
        fields = {n: _build(kinds[n], v, f"{name}.{n}") for n, v in value.items()}
        return cast(Any, kind)(**fields)
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        kinds = arguments
        if kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        if len(kinds) == len(value):
            pairs = zip(kinds, value, strict=True)
            return tuple(_build(one, item, name) for one, item in pairs)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # int | None
        for one in arguments:
            with contextlib.suppress(TypeError):
                return _build(one, value, name)
    if typing.get_origin(kind) is typing.Literal and isinstance(value, str):
        if value in arguments:
            return value
    # Not isinstance: in Python True is an int.
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"{name.lstrip('.') or 'the whole'} is {str(value)[:100]!r}")


def write_manifest(workdir: Path, devices: list[str], mesh: dict[str, int]) -> None:
    """Notes command, code, versions and devices of this start of the run."""
    manifest = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "devices": devices,
        "mesh": mesh,
    }
    write_json(workdir / "manifest.json", manifest)


def _commit() -> str | None:
    """The commit of the source, "+" if it was changed since; none outside git."""
    source = Path(__file__).parent
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    except OSError:
        return None
    return result.stdout.strip() or None


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): delete it.") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes the whole file or nothing."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)
