"""Members that no official archive has.

Since nothing is unpacked they could do no harm, but the user should know.
"""

from pathlib import PurePosixPath


def check_member(name: str, *, is_plain: bool) -> None:
    """Raises ValueError for a member that escapes the archive, a link or a device.

    Args:
        is_plain: true for a regular file and for a folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"member {name!r} lies outside the archive")
    if not is_plain:
        raise ValueError(f"member {name!r} is a link or a device")


def check_unique(names: list[str]) -> None:
    """Raises ValueError unless each member has a name of its own."""
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"member {name!r} is there more than once")
        seen.add(name)
