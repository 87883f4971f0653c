"""The part of a page that a program writes, between two comments that name it, and the
tables in it."""

Table = list[tuple[str, ...]]


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


def table(rows: Table) -> str:
    """Markdown; the first row is the head. Nothing without other rows."""
    if len(rows) < 2:
        return ""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def filled_table(rows: Table) -> str:
    """The table without the columns that have no value."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    return table(list(zip(*columns, strict=True)))
