"""What a run of `train` is told, and the net, rates and epochs that follow."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from alexnet_jax.errors import UserError
from experiments.cuda_convnet import nets
from experiments.cuda_convnet.nets import Net, Recipe, Stage


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that changes the result."""

    net: nets.NetName
    """Named for the test error, or the time, that its authors promise."""
    activation: nets.Activation = "relu"
    """Of all layers but the last (paper, section 3.1)."""
    norm: bool = True
    """Whether the net keeps its response normalisation (paper, section 3.3)."""
    learning_rate: float | None = None
    """Of kernels at the start; that of biases keeps its ratio. None: the recipe's."""
    weight_cost_scale: float = 1.0
    """Times the weight costs of the recipe; 0: no weight decay."""
    crop: Literal["recipe", "none", "random"] = "recipe"
    """none: whole images, never mirrored; random: crops of 24, mirrored at random."""
    constant_rate: bool = False
    """All epochs as the first ones of the recipe, on all training images."""
    num_epochs: int | None = None
    """Ends after so many; beyond the recipe its last stage goes on. None: its own."""
    until_train_error: float | None = None
    """Ends with the first epoch at whose end the training error (a fraction, all
    training images, centre view) is no higher."""
    seed: int = 0
    """Of initial values, order of the images, crops and mirrors."""


class Epoch(NamedTuple):
    """A pass over the training images, or over the first ones."""

    number: int
    """From 0."""
    stage: Stage
    num_examples: int
    first_step: int
    stop_step: int


def check(settings: Settings) -> None:
    """Raises UserError where a number can't be meant."""
    wrong = {
        "--learning-rate": settings.learning_rate is None or settings.learning_rate > 0,
        "--weight-cost-scale": settings.weight_cost_scale >= 0,
        "--num-epochs": settings.num_epochs is None or settings.num_epochs > 0,
        "--until-train-error": settings.until_train_error is None
        or 0 < settings.until_train_error < 1,
        "--seed": settings.seed >= 0,
    }
    for option, is_right in wrong.items():
        if not is_right:
            name = option.removeprefix("--").replace("-", "_")
            raise UserError(f"{option} {getattr(settings, name)} is out of range.")


def net_of(settings: Settings) -> Net:
    """The net and the recipe with what the settings change."""
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
    """All epochs of a run, with the steps at which they begin and end.

    Args:
        num_examples: training images.
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
