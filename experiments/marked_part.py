"""The part of a page that a program writes, between two comments that name it."""


def markers(program: str) -> tuple[str, str]:
    """The lines around the part that `python -m program` writes."""
    begin = f"<!-- written by: python -m {program} -->"
    return begin, f"<!-- end of what {program} writes -->"


def replaced(page: str, program: str, part: str) -> str:
    """The page with a new part between the markers of the program.

    Raises:
        ValueError: the page lacks one of the markers.
    """
    begin, end = markers(program)
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{part}\n{end}{after}"
