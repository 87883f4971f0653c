"""The errors that a command reports as one message, without a traceback."""


class UserError(ValueError):
    """A mistake in a configuration or a command: the message names value and remedy."""


class DamagedRecord(ValueError):
    """An example that cannot be read: the message names split, index and key."""


class Fault(RuntimeError):
    """Something around a run failed, such as a disk: the message says what is kept."""
