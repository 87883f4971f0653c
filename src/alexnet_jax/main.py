"""The command: python -m alexnet_jax.main --workdir runs/

Kept short, so that notebooks and tests use the functions that it calls. What is slow to
import comes after the options have been read, so that --help answers at once.
"""

import sys

from alexnet_jax import options
from alexnet_jax.config import Config
from alexnet_jax.errors import DamagedRecord, Fault, UserError
from alexnet_jax.system.interruption import EXIT_RESUME, Interrupted, Interruption


def run(chosen: options.Options, interruption: Interruption) -> str:
    """Trains, and returns a few lines on how it ended."""
    from alexnet_jax import train
    from alexnet_jax.system import devices

    devices.request_cpu_devices(chosen.config.run.mesh)
    outcome = train.train_and_evaluate(chosen.config, chosen.workdir, interruption)
    head = f"{chosen.workdir}: "
    if outcome.was_complete:
        head += f"the run is complete, {outcome.step} steps. "
        remedy = f"\nFor more: --num-epochs {2 * chosen.config.num_epochs:g}"
    else:
        head += f"trained for {outcome.step} steps. "
        remedy = ""
    return head + _errors(outcome.evaluation, chosen.config) + remedy


def _errors(evaluation: dict[str, float], config: Config) -> str:
    if not evaluation:
        return ""
    return (
        f"{config.data.name} {config.data.eval_split}, centre view, "
        f"{evaluation['examples']:g} images: top-1 error "
        f"{evaluation['top1_error']:.2%}, top-5 error {evaluation['top5_error']:.2%}, "
        f"loss {evaluation['loss']:.4f}"
    )


def main() -> int:
    """Returns the exit code: 0 done, 1 diverged or a fault, 2 a mistake, 75 saved."""
    chosen = options.parse(sys.argv[1:])
    minutes = chosen.config.run.max_minutes
    with Interruption(minutes, owns_process=True) as interruption:
        try:
            print(run(chosen, interruption))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except (FloatingPointError, DamagedRecord, Fault) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            kept = "what has been saved is kept, and the same command goes on"
            print(f"error: {error}; {kept}", file=sys.stderr)
            return 1
        except Interrupted as stopped:
            print(f"{stopped}; the same command goes on from there", file=sys.stderr)
            return EXIT_RESUME
    return 0


if __name__ == "__main__":
    sys.exit(main())
