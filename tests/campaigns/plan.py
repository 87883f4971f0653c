"""All campaigns, in the order of the table."""

from functools import partial

from tests.campaigns import (
    busy,
    checkpoints,
    faults,
    fuzz,
    given_networks,
    kills,
    other_commands,
    points,
    processes,
    soak,
)

# Name, function of (place, tries), tries; None for a number that it finds itself.
CAMPAIGNS = {
    **{
        f"points_{kind.replace(' ', '_')}": (partial(points.points, kind=kind), None)
        for kind in points.FAULTS
    },
    "sigkill": (kills.sigkills, 50),
    "sigkill_many_checkpoints": (kills.sigkills_with_many_checkpoints, 10),
    "sigkill_checkpoint": (kills.sigkills_in_checkpoints, 20),
    "sigterm": (kills.sigterms, 20),
    "sighup": (kills.sighups, 10),
    "sigusr1": (kills.sigusr1s, 10),
    "sigkill_of_two": (processes.kills, 10),
    "sigterm_of_two": (processes.stops, 10),
    "full_disk": (faults.full_disks, 10),
    "filling_disk": (faults.filling_disks, 10),
    "broken_shard": (faults.broken_shards, 10),
    "nan": (faults.infinite_losses, 3),
    "moved": (faults.moved_directories, 6),
    "lost_checkpoints": (faults.lost_checkpoints, 6),
    "checkpoints": (checkpoints.evaluated, 200),
    "checkpoints_resumed": (checkpoints.resumed, 20),
    "evaluate": (other_commands.evaluations, 10),
    "sweep": (other_commands.sweeps, 10),
    "prepare": (other_commands.preparations, 20),
    "full_disk_prepare": (other_commands.full_disks_in_preparation, 10),
    "configs": (fuzz.configs, 1000),
    "images": (fuzz.pictures, 500),
    "archives": (fuzz.archives, 500),
    "weight_files": (fuzz.weight_files, 1000),
    "given_networks": (given_networks.given_networks, 1000),
    "busy": (busy.busy, 30),
    "soak": (soak.memory, 20),  # minutes
}
APART = ("busy", "soak")
