"""devices.py: one program at a time on virtual CPU devices."""

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.system import devices


def test_a_call_returns_when_its_result_is_there():
    """Ahead of the devices XLA can run out of threads: tests/dispatch_ahead.py."""

    def slow(x):
        return jax.lax.fori_loop(0, 300, lambda _, y: jnp.tanh(y @ y), x)

    image = jnp.asarray(np.full((300, 300), 0.01, np.float32))
    compiled, plain = devices.compiled(slow), jax.jit(slow)
    compiled(image), jax.block_until_ready(plain(image))
    assert not plain(image).is_ready(), "too fast a program to show anything"
    assert compiled(image).is_ready()
