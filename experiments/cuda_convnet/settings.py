"""Settings of a run of `train`, and the net, rates and epochs that follow from them."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

from alexnet_jax.ranges import NonNegative, Positive, Range, Seed
from experiments.cuda_convnet import nets
from experiments.cuda_convnet.nets import Net, Recipe, Stage

_BETWEEN_0_AND_1 = Range(0, 1, open_low=True, open_high=True)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings that change the result."""

    net: nets.NetName
    """Named for the test error, or the training time, that its authors promise."""
    activation: nets.Activation = "relu"
    """Activation of all layers but the last (paper, section 3.1)."""
    norm: bool = True
    """Keeps the net's response normalisation (paper, section 3.3)."""
    learning_rate: Positive[float] | None = None
    """Initial rate of kernels; the rate of biases keeps its ratio to it. None means the
    recipe's."""
    weight_cost_scale: NonNegative[float] = 1.0
    """Factor on the weight costs of the recipe; 0 means no weight decay."""
    crop: Literal["recipe", "none", "random"] = "recipe"
    """none: whole images, not mirrored; random: crops of 24, mirrored at random."""
    constant_rate: bool = False
    """Keeps the initial rate for all epochs, on all training images."""
    num_epochs: Positive[int] | None = None
    """Length of the run; beyond the recipe its last stage continues. None means the
    recipe's."""
    until_train_error: Annotated[float, _BETWEEN_0_AND_1] | None = None
    """Ends the run after the first epoch at whose end the training error (a fraction,
    all training images, centre view) is at most this."""
    seed: Seed = 0
    """Seed of the initial values, the order of the images, crops and mirrors."""


class Epoch(NamedTuple):
    """A pass over the training images, or over the first `num_examples`."""

    number: int
    """Starts at 0."""
    stage: Stage
    num_examples: int
    first_step: int
    stop_step: int


def net_of(settings: Settings) -> Net:
    """The net and its recipe, changed by the settings."""
    net = nets.NETS[settings.net]
    if not settings.norm:
        net = nets.without_norms(net)
    recipe = _with_crop(net.recipe, settings.crop)
    if settings.learning_rate is not None:
        factor = settings.learning_rate / recipe.learning_rate
        recipe = replace(
            recipe,
            learning_rate=settings.learning_rate,
            bias_learning_rate=factor * recipe.bias_learning_rate,
        )
    if settings.constant_rate:
        total = sum(stage.num_epochs for stage in recipe.stages)
        recipe = replace(recipe, stages=(Stage(num_epochs=total),))
    return replace(net, recipe=recipe)


def _with_crop(recipe: Recipe, crop: str) -> Recipe:
    match crop:
        case "none":
            return replace(recipe, crop_size=nets.IMAGE_SIZE, flip=False, views=(1,))
        case "random":
            return replace(recipe, crop_size=24, flip=True, views=(1, 9, 10))
    return recipe


def epochs_of(recipe: Recipe, num_epochs: int | None, num_examples: int) -> list[Epoch]:
    """All epochs of a run, with the steps at which they start and stop.

    Args:
        num_examples: number of training images.
    """
    stages = [stage for stage in recipe.stages for _ in range(stage.num_epochs)]
    if num_epochs is not None:
        stages = (stages + [stages[-1]] * num_epochs)[:num_epochs]
    epochs, first_step = [], 0
    for number, stage in enumerate(stages):
        examples = round(stage.train_fraction * num_examples)
        stop_step = first_step - (-examples // recipe.batch_size)
        epochs.append(Epoch(number, stage, examples, first_step, stop_step))
        first_step = stop_step
    return epochs
