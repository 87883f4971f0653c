"""The smallest program that XLA aborts on virtual CPU devices, without our code.

python tests/dispatch_ahead.py [--wait]

Two devices, a convolution and a gather, 200 calls. Without `--wait` calls are
dispatched ahead of the devices. On 2 cores with three busy processes beside it, jax
0.10.2 aborted 4 of 4 such programs: "Expected 2 threads to join the rendezvous". Their
stacks: one thread of XLA's pool in Semaphore::Acquire, at the 33rd program in flight,
one in InProcessCommunicator::AllGather, and none left for the program that both wait
for. With `--wait` each call ends before the next begins, as in `devices.compiled`:
0 of 3.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

_CALLS = 200


def main() -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    mesh = jax.make_mesh((2,), ("column",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.P(None, None, None, "column")

    def layer(image: jax.Array, kernel: jax.Array) -> jax.Array:
        maps = jax.lax.conv_general_dilated(
            *(image, kernel, (1, 1), "SAME"),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jax.lax.all_gather(maps, "column", axis=3, tiled=True)

    @jax.jit
    def step(total: jax.Array, image: jax.Array, kernel: jax.Array) -> jax.Array:
        for _ in range(4):
            image = jax.shard_map(
                layer,
                mesh=mesh,
                in_specs=(jax.P(), split),
                out_specs=jax.P(),
                check_vma=False,
            )(image, kernel)
        return total + jnp.sum(image)

    def place(array: np.ndarray, spec: jax.P) -> jax.Array:
        return jax.device_put(array, jax.NamedSharding(mesh, spec))

    image = place(np.ones((128, 16, 16, 64), np.float32), jax.P())
    kernel = place(np.full((3, 3, 64, 64), 0.002, np.float32), split)
    total = place(np.zeros((), np.float32), jax.P())
    for _ in range(_CALLS):
        total = step(total, image, kernel)
        if "--wait" in sys.argv:
            jax.block_until_ready(total)
    print(float(total))


if __name__ == "__main__":
    main()
