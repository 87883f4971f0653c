"""Computation, communication and efficiency of a step on 1 to 1,024 devices.

python -m benchmarks.scaling --images-per-second 50 --link 1.25 --network 1.25

Arithmetic on `alexnet2012`, float32, with the same batch on every device; nothing is
run. The speed of one device and the rates of the links are arguments. The time of a
step is computing plus sending, which is the worst case: XLA overlaps them where it can.
Three layouts:

data: every device has all parameters, and their gradients are summed over a ring.
columns: each device of a pair holds one column, at twice the batch of a device, and
    each column's gradients are summed among the devices that hold it.
trick: convolutions as in data; fully connected layers split over all devices, each of
    which sees the whole batch ("One weird trick", Krizhevsky 2014).
"""

import argparse
import dataclasses
from typing import NamedTuple

import communication

from alexnet_jax.presets import ALEXNET2012

# Of alexnet2012: parameters of the convolutional layers, inputs of fc6, fc7, fc8.
CONV_PARAMETERS = 2_334_080
DENSE_INPUTS = 9216 + 4096 + 4096
FLOAT = 4


class Cost(NamedTuple):
    """Cost of one step on one device."""

    computing: float
    """Seconds."""
    sent: float
    """Bytes."""
    sending: float
    """Seconds."""


class Machine(NamedTuple):
    """Speeds of devices and links."""

    images_per_second: float
    """Of one device training alone."""
    link: float
    """Bytes per second that a device sends to others of its host."""
    network: float
    """Bytes per second that a device sends to other hosts."""
    devices_per_host: int


def least_bytes(batch: int, data: int, column: int) -> int:
    """Bytes that a device must send per step of alexnet2012, float32."""
    config = dataclasses.replace(ALEXNET2012, batch_size=batch)
    return communication.least_bytes(config, data, column)


def bytes_sent(layout: str, devices: int, batch: int) -> float:
    """Bytes that each device sends per step, with `batch` images per device."""
    if layout == "data" or devices == 1:
        return least_bytes(batch * devices, devices, 1)
    if layout == "columns":
        return least_bytes(batch * devices, devices // 2, 2)
    others = devices - 1
    gradients = 2 * FLOAT * CONV_PARAMETERS * others / devices
    # Each device has its own images or its own units of every layer's input and needs
    # those of all others; the backward pass sends as much again.
    return gradients + 2 * FLOAT * DENSE_INPUTS * batch * others


def cost(layout: str, devices: int, batch: int, machine: Machine) -> Cost:
    """Cost of a step. A ring is as fast as its slowest link; a pair shares a host."""
    sent = bytes_sent(layout, devices, batch)
    exchanged = 0.0
    if layout == "columns" and devices > 1:
        exchanged = least_bytes(2 * batch, 1, 2)
    across = devices > machine.devices_per_host
    rate = machine.network if across else machine.link
    sending = exchanged / machine.link + (sent - exchanged) / rate
    return Cost(batch / machine.images_per_second, sent, sending)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images-per-second", type=float, required=True)
    parser.add_argument("--batch-size", type=int, default=128, help="per device")
    parser.add_argument("--link", type=float, required=True, help="GB/s, in a host")
    parser.add_argument("--network", type=float, required=True, help="GB/s per device")
    parser.add_argument("--devices-per-host", type=int, default=8)
    parser.add_argument("--most", type=int, default=1024, help="devices")
    arguments = parser.parse_args()
    machine = Machine(
        arguments.images_per_second,
        arguments.link * 1e9,
        arguments.network * 1e9,
        arguments.devices_per_host,
    )
    print("| devices | batch | layout | MB sent | sending, ms | images/s | of ideal |")
    print("|---|---|---|---|---|---|---|")
    devices = 1
    while devices <= arguments.most:
        layouts = ("data", "columns", "trick") if devices > 1 else ("data",)
        for layout in layouts:
            step = cost(layout, devices, arguments.batch_size, machine)
            share = step.computing / (step.computing + step.sending)
            total = devices * machine.images_per_second * share
            batch = devices * arguments.batch_size
            print(
                f"| {devices:,} | {batch:,} | {layout} | {step.sent / 1e6:,.1f} | "
                f"{1e3 * step.sending:,.2f} | {total:,.0f} | {share:.0%} |"
            )
        devices *= 4 if devices > 2 else 2
    print(f"\nComputing takes {1e3 * step.computing:,.2f} ms per step on every device.")


if __name__ == "__main__":
    main()
