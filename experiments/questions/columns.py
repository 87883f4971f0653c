"""Question: How much do two columns gain, and where must they communicate?

Paper: section 3.5 and Figure 2. The two-column net has errors 1.7 / 1.2 points below a
net with half as many kernels in each convolutional layer on one GPU (whose last
convolution and fully connected layers are not halved, footnote 2).
Fixed: recipe and data. Varies: the number of columns, and the layers that see both.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment columns
"""

from typing import Any

from alexnet_jax.config import Config, ModelConfig
from experiments.variants import Target, changed

PAPER_SECTION = "3.5"
TARGETS = {
    "one_column": Target(
        paper=1.7, log=1.695, source="3.5; 145-half minus 145-2010, 2010 test, 10 views"
    ),
    "separate_until_fc8": Target(
        log=1.164, source="150 minus 145, 2012 validation, 10 views"
    ),
    # 127 ("significantly worse") and 132 ("worse than 131") were killed: no figure.
}


def variants(base: Config) -> dict[str, Config]:
    net = base.model
    return {
        "two_columns": base,
        "one_column": changed(base, _one_column(net)),
        # All kernels see all maps: more connections than in the paper's net.
        "ungrouped": changed(base, {"model.num_columns": 1}),
        "separate_until_fc8": changed(base, _separate_until_fc8(net)),
        # 127: conv3 and conv4 have 256 maps per column instead of 192.
        "no_exchange_at_conv3": changed(
            base,
            {
                "model.conv3.sees": "own",
                "model.conv3.features": net.conv3.features * 4 // 3,
                "model.conv4.features": net.conv4.features * 4 // 3,
            },
        ),
        # 132
        "exchange_at_conv4": changed(
            base, {"model.conv3.sees": "own", "model.conv4.sees": "both"}
        ),
    }


def _one_column(net: ModelConfig) -> dict[str, Any]:
    """145-half: layers 1 to 4 are halved, conv5 and the rest are whole."""
    return {
        "model.num_columns": 1,
        "model.conv1.features": net.conv1.features // 2,
        "model.conv2.features": net.conv2.features // 2,
        "model.conv3.features": net.conv3.features // 2,
        "model.conv4.features": net.conv4.features // 2,
    }


def _separate_until_fc8(net: ModelConfig) -> dict[str, Any]:
    """150: conv2 has 160 maps and fc6 4096 units per column."""
    return {
        "model.conv2.features": net.conv2.features * 5 // 4,
        "model.conv3.sees": "own",
        "model.fc6.features": net.fc6.features * 2,
        "model.fc6.sees": "own",
        "model.fc7.sees": "own",
    }
