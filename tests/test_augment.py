"""augment.py: counts, invariances, and the colour shift against its formula."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import augment, columns
from alexnet_jax.config import AugmentConfig, MeshConfig

PLAIN = AugmentConfig(crop_size=5, color_shift="none")
STATISTICS = augment.ImageStatistics(
    mean_image=jnp.full((8, 8, 3), 100.0),
    stddev=jnp.array([121.78, 37.094, 19.721]),
    direction=jnp.linalg.qr(jax.random.normal(jax.random.key(5), (3, 3)))[0],
)


def images(batch=64, size=8):
    """Each pixel has a value of its own, so a crop shows where it comes from."""
    pixels = np.arange(size * size * 3, dtype=np.uint8).reshape(1, size, size, 3)
    return jnp.asarray(np.repeat(pixels, batch, axis=0))


def test_every_place_and_both_mirrors_occur():
    """8 - 5 + 1 = 4 positions each way, mirrored or not: 32 views, no others."""
    image = images(2000)
    views = augment.random_crop_and_flip(jax.random.key(0), image, PLAIN)
    seen = {view.tobytes() for view in np.asarray(views)}
    one = np.asarray(image[0])
    expected = set()
    for top in range(4):
        for left in range(4):
            crop = one[top : top + 5, left : left + 5]
            expected |= {crop.tobytes(), crop[:, ::-1].tobytes()}
    assert seen == expected


def test_flipping_twice_is_the_identity():
    image = images(2)
    offset = jnp.zeros((2, 2), jnp.int32)
    flip = jnp.array([True, False])
    twice = augment.crop_and_flip(
        augment.crop_and_flip(image, offset, flip, 8), offset, flip, 8
    )
    np.testing.assert_array_equal(twice, image)


def test_shared_by_32_gives_runs_of_32():
    settings = dataclasses.replace(PLAIN, shared_by=32)
    views = augment.random_crop_and_flip(jax.random.key(1), images(80), settings)
    views = np.asarray(views)
    for start in (0, 32, 64):
        run = views[start : start + 32]
        np.testing.assert_array_equal(run, np.broadcast_to(run[:1], run.shape))
    assert len({views[start].tobytes() for start in (0, 32, 64)}) > 1


def test_toggles_leave_the_centre_crop():
    settings = dataclasses.replace(PLAIN, random_crop=False, horizontal_flip=False)
    image = images(3, size=9)
    views = augment.random_crop_and_flip(jax.random.key(0), image, settings)
    np.testing.assert_array_equal(views, image[:, 2:7, 2:7])


@pytest.mark.parametrize("form", ["2012", "paper"])
def test_color_shift_follows_its_formula(form):
    """The shift is one vector for a whole image; along each principal component its
    standard deviation is what the source says."""
    view = jax.random.normal(jax.random.key(2), (4000, 2, 2, 3)) * 50
    settings = dataclasses.replace(PLAIN, color_shift=form)
    shifted = augment.pca_color_shift(jax.random.key(3), view, STATISTICS, settings)
    shift = np.asarray(shifted * (1.1 if form == "2012" else 1.0) - view)
    np.testing.assert_allclose(
        shift, np.broadcast_to(shift[:, :1, :1], shift.shape), atol=1e-3
    )
    along = shift[:, 0, 0] @ np.asarray(STATISTICS.direction).T
    stddev = np.asarray(STATISTICS.stddev)
    expected = 0.1 * (stddev if form == "2012" else stddev**2 / 255)
    np.testing.assert_allclose(along.std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(along.mean(axis=0), 0, atol=0.1 * expected.max())


def test_color_shift_ends_with_its_divisor():
    settings = dataclasses.replace(PLAIN, color_shift="2012", color_shift_until=3.0)
    plain = dataclasses.replace(settings, color_shift="none")

    def views(settings, epoch):
        return augment.training_views(
            jax.random.key(4), images(), jnp.float32(epoch), STATISTICS, settings
        )

    np.testing.assert_array_equal(views(settings, 3.0), views(plain, 3.0))
    assert not np.allclose(views(settings, 2.9), views(plain, 2.9))


def test_the_central_mean_is_subtracted_wherever_the_crop_lies():
    mean = jnp.zeros((8, 8, 3)).at[1:6, 1:6].set(7.0)
    statistics = STATISTICS._replace(mean_image=mean)
    views = augment.training_views(
        jax.random.key(0), images(), jnp.float32(0), statistics, PLAIN
    )
    crops = augment.random_crop_and_flip(
        jax.random.split(jax.random.key(0))[0], images(), PLAIN
    )
    np.testing.assert_array_equal(views, crops.astype(jnp.float32) - 7.0)


@pytest.mark.parametrize("data, column", [(1, 2), (2, 1), (4, 1), (2, 2)])
def test_same_views_on_every_layout(data, column):
    settings = dataclasses.replace(PLAIN, color_shift="2012")
    views = partial(augment.training_views, settings=settings)
    arguments = jax.random.key(9), images(), jnp.float32(0), STATISTICS
    expected = jax.jit(views)(*arguments)
    mesh = columns.make_mesh(MeshConfig(data=data, column=column), 2, jax.devices())
    split = jax.device_put(images(), columns.batch_sharding(mesh))
    with jax.set_mesh(mesh):
        found = jax.jit(views)(arguments[0], split, *arguments[2:])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_center_view():
    view = augment.center_view(
        images(1), STATISTICS.mean_image, AugmentConfig(crop_size=4)
    )
    np.testing.assert_array_equal(
        view, images(1)[:, 2:6, 2:6].astype(jnp.float32) - 100
    )


def test_a_scale_for_each_channel():
    settings = AugmentConfig(crop_size=4)
    each = dataclasses.replace(settings, pixel_scale=(0.5, 1.0, 2.0))
    plain = augment.center_view(images(1), STATISTICS.mean_image, settings)
    scaled = augment.center_view(images(1), STATISTICS.mean_image, each)
    np.testing.assert_array_equal(scaled, np.asarray(plain) * np.float32([0.5, 1, 2]))
