"""Question: How much does dropout gain, and does its form matter?

Paper: section 4.2. Without dropout the net overfits substantially (no figure); dropout
doubles the number of iterations needed.
Fixed: network, recipe, and the function of the start, which in testing is the same in
all variants. "none" keeps the mask's mean as a factor in training, so that it differs
from "2012" in the noise alone: with halved kernels instead of the factor, a step would
change the function of fc7 and fc8 four times as much. "inverted", today's form, has
such kernels: from the same function in training, too, it learns with those steps.
Varies: dropout in fc6 and fc7.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment dropout
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "4.2"
TARGETS: dict[str, Target] = {}  # no figure in the paper, no log


def variants(base: Config) -> dict[str, Config]:
    return {
        "2012": _with_form(base, "2012"),
        "inverted": _with_form(base, "inverted"),
        "none": _with_form(base, "mean"),
    }


def _with_form(base: Config, form: str) -> Config:
    """The base with another form of dropout, and initial kernels behind fc6 and fc7
    that make up for its factor."""
    net = base.model
    exponent = (form == "inverted") - (net.dropout == "inverted")
    factor = (1 - net.dropout_rate) ** exponent
    return changed(
        base,
        {
            "model.dropout": form,
            "model.fc7.kernel_std": net.fc7.kernel_std * factor,
            "model.fc8.kernel_std": net.fc8.kernel_std * factor,
        },
    )
