"""label_files.py: which row is of which image, and every way in which none fits."""

import codecs

import pytest

from alexnet_jax.data import label_files
from alexnet_jax.errors import UserError

IMAGES = ["photos/a.png", "photos/b.png", "photos/deep/c.png"]


def table(folder, *rows, header="image,label", name="labels.csv"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def labels(folder, *rows, images=IMAGES, **options):
    return label_files.labels_of(images, table(folder, *rows, **options))


@pytest.mark.parametrize(
    "name, rows",
    [
        ("labels.csv", ("photos/a.png", "photos/b.png", "photos/deep/c.png")),
        ("photos/labels.csv", ("a.png", "b.png", "deep/c.png")),
        ("tables/labels.csv", ("../photos/a.png", "./b.png", "c.png")),
        ("tables/labels.csv", ("a.png", "b.png", "c.png")),
    ],
    ids=["as given", "from the table", "from the table and by name", "by name"],
)
def test_how_a_row_names_an_image(name, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{row},{label}" for row, label in zip(rows, "xyx", strict=True)][::-1]
    rows = [row.replace("./b", "b") for row in rows]
    assert labels(tmp_path, *rows, name=name) == ["x", "y", "x"]
    absolute = [str(tmp_path / image) for image in IMAGES]
    assert labels(tmp_path, *rows, name=name, images=absolute) == ["x", "y", "x"]


def test_the_path_comes_before_the_file_name(tmp_path, monkeypatch):
    """Two images of one name, told apart by their folders."""
    monkeypatch.chdir(tmp_path)
    images = ["a.png", "deep/a.png"]
    rows = ("a.png,top", "deep/a.png,below")
    assert labels(tmp_path, *rows, images=images) == ["top", "below"]
    with pytest.raises(
        UserError, match=r"of a file name that several have \(1\): a.png"
    ):
        labels(tmp_path, "a.png,x", images=["one/a.png", "two/a.png"])


def test_an_image_that_is_given_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert labels(tmp_path, "x/a.png,one", images=["x/a.png"] * 2) == ["one"] * 2


def test_tables_of_spreadsheets(tmp_path):
    """A byte order mark, CRLF, quotes, other columns in any order, blank lines."""
    path = tmp_path / "labels.csv"
    text = 'id,label,image\r\n1,"dog, small",photos/a.png\r\n\r\n2,naïve,"b"".png"'
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    found = label_files.labels_of(["photos/a.png", 'photos/b".png'], path)
    assert found == ["dog, small", "naïve"]


def test_all_that_does_not_fit_is_one_message(tmp_path):
    images = [f"photos/{number}.png" for number in range(8)]
    rows = ["0.png,x", "1.png,x", "0.png,y", "2.png,", "nine.png,x", "ten.png,x"]
    with pytest.raises(UserError) as raised:
        labels(tmp_path, *rows, images=images)
    first, *lines = str(raised.value).splitlines()
    assert first == f"the labels in {tmp_path}/labels.csv do not fit the images:"
    assert [line.strip() for line in lines] == [
        "images without a row (5): photos/3.png, photos/4.png, photos/5.png, ...",
        "images with several rows (1): photos/0.png in lines 2, 4",
        "rows without an image, or of a file name that several have (2): nine.png in "
        "line 6, ten.png in line 7",
        "rows without a label (1): line 5",
    ]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the first line should be image,label, and it is ''"),
        (b"image;label\na;b\n", "and it is 'image;label'"),
        (b"a.png,cat\n", "and it is 'a.png,cat'"),
        (b"image,label\n\xff,x\n", "cannot be read .*utf-8"),
        (b'image,label\n"a.png,x\n', "cannot be read .*unexpected end"),
        (b"image,label\na.png\n", r"rows without a label \(1\): line 2"),
    ],
)
def test_no_table(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        label_files.labels_of(["a.png"], path)


def test_a_missing_table(tmp_path):
    with pytest.raises(UserError, match="nix.csv cannot be read .*No such file"):
        label_files.labels_of(["a.png"], tmp_path / "nix.csv")
