"""Question: How much does response normalisation gain?

Paper: section 3.3. It lowers the errors by 1.4 / 1.2 points.
Fixed: recipe, data, all other layers. Varies: the normalisations and their positions.
Cost: one run of the base per variant.
Command: python -m experiments.run --experiment response_norm
"""

from alexnet_jax.config import Config
from experiments.variants import Target, changed

PAPER_SECTION = "3.3"
TARGETS = {
    "none": Target(
        paper=1.4, log=1.370, source="3.3; 148 minus 145, 2012 validation, 10 views"
    ),
    "none_in_layer2": Target(
        log=-0.176, source="167 (another schedule) minus 145, 2012 validation"
    ),
    "before_relu": Target(log=0.432, source="166 minus 145, 2012 validation"),
}
_WITHOUT_LAYER2 = {
    "model.conv2.local_norm.position": "off",
    "model.conv2.spatial_norm.position": "off",
}


def variants(base: Config) -> dict[str, Config]:
    before = {
        f"model.conv2.{norm}.position": "before_activation"
        for norm in ("local_norm", "spatial_norm")
    }
    of_text = {
        "model.conv1.local_norm.position": "after_activation",
        "model.conv1.local_norm.alpha_divided_by_n": False,
        "model.conv2.local_norm.alpha_divided_by_n": False,
        "model.conv2.spatial_norm.position": "off",
    }
    return {
        "2012": base,
        # 148, which also lacks the spatial normalisation of layer 2
        "none": changed(
            base, {"model.conv1.local_norm.position": "off"} | _WITHOUT_LAYER2
        ),
        # 167
        "none_in_layer2": changed(base, _WITHOUT_LAYER2),
        # 166: layer 2 like layer 1, which 145 already normalises before ReLU
        "before_relu": changed(base, before),
        "paper_text": changed(base, of_text),
    }
