"""What 1 to 1,024 devices compute and send in a step, and what limits them.

python benchmarks/scaling.py --images-per-second 50 --link 1.25 --network 1.25

Arithmetic on `alexnet2012`, float32, with the same batch on every device; nothing is
run. The speed of one device and the rates of the links are given. A step is said to
take the computing and the sending one after the other, which is the worst case: XLA
overlaps them where it can. Three layouts:

data: every device has all parameters, and their gradients are added up over a ring.
columns: pairs of devices hold a column each, at twice the batch of a device, and each
    column's gradients are added up among the devices that hold it.
trick: convolutions as in data; fully connected layers split over all devices, each of
    which sees the whole batch ("One weird trick", Krizhevsky 2014).
"""

import argparse
from typing import NamedTuple

from communication import least_bytes

# Of alexnet2012: parameters of the convolutional layers, inputs of fc6, fc7, fc8.
CONV_PARAMETERS = 2_334_080
DENSE_INPUTS = 9216 + 4096 + 4096
FLOAT = 4


class Cost(NamedTuple):
    """Of one device in one step."""

    computing: float
    """Seconds."""
    sent: float
    """Bytes."""
    sending: float
    """Seconds."""


class Machine(NamedTuple):
    """What the devices can do."""

    images_per_second: float
    """Of one device that trains alone."""
    link: float
    """Bytes a second that a device sends to others of its host."""
    network: float
    """Bytes a second that a device sends to other hosts."""
    devices_per_host: int


def bytes_sent(layout: str, devices: int, batch: int) -> float:
    """Bytes that each device sends in a step, with `batch` images a device."""
    if layout == "data" or devices == 1:
        return least_bytes(batch * devices, devices, 1)
    if layout == "columns":
        return least_bytes(batch * devices, devices // 2, 2)
    others = devices - 1
    gradients = 2 * FLOAT * CONV_PARAMETERS * others / devices
    # Of every layer's input each device has its own images or its own units, and needs
    # all of the others; backward as much again.
    return gradients + 2 * FLOAT * DENSE_INPUTS * batch * others


def cost(layout: str, devices: int, batch: int, machine: Machine) -> Cost:
    """A ring is as fast as its slowest link; columns lie within a host."""
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
    parser.add_argument("--batch-size", type=int, default=128, help="of each device")
    parser.add_argument("--link", type=float, required=True, help="GB/s, in a host")
    parser.add_argument("--network", type=float, required=True, help="GB/s a device")
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
            one = cost(layout, devices, arguments.batch_size, machine)
            share = one.computing / (one.computing + one.sending)
            total = devices * machine.images_per_second * share
            batch = devices * arguments.batch_size
            print(
                f"| {devices:,} | {batch:,} | {layout} | {one.sent / 1e6:,.1f} | "
                f"{1e3 * one.sending:,.2f} | {total:,.0f} | {share:.0%} |"
            )
        devices *= 4 if devices > 2 else 2
    print(f"\nComputing takes {1e3 * one.computing:,.2f} ms a step on every device.")


if __name__ == "__main__":
    main()
