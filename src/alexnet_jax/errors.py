"""The errors that a command reports as one message, without a traceback."""


class UserError(ValueError):
    """A mistake in a configuration or command. The message names value and remedy."""


class DamagedRecord(ValueError):
    """An example that cannot be read. The message names split, index and key."""


class Fault(RuntimeError):
    """Disk, memory or data failed around a run. The message says what is kept."""
