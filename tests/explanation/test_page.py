"""The page in headless Chromium: its network, its controls, its accessibility.

They skip without Chromium; ALEXNET_JAX_TEST_AXE names axe.min.js of the npm package
axe-core.
"""

import base64
import contextlib
import copy
import io
import os
from pathlib import Path

import numpy as np
import pages
import pytest
from any_network import CONFIGS, random_network, random_views, stages
from PIL import Image

import alexnet_jax
from alexnet_jax import explain
from alexnet_jax.data import decoding
from alexnet_jax.data.source import open_source
from alexnet_jax.explanation import live_network, subject
from alexnet_jax.figures import shown_images

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(
    pages.browser_path() is None,
    reason="no Chromium on PATH: apt-get install chromium",
)
FIGURE1_CURVE = [{"epoch": epoch, "top1_error": 1 / epoch} for epoch in (1, 2, 3)]
WIDTHS = (360, 390, 768, 1280, 1600)
SMALL_CONFIGS = {
    name: config
    for name, config in CONFIGS.items()
    if config.augment.crop_size <= 32  # others take seconds in JavaScript
}


@pytest.fixture(scope="module")
def browser():
    with pages.browser() as started:
        yield started


@pytest.fixture(scope="module")
def digits_page(browser, digits_run, digits_dir, tmp_path_factory):
    """The page of the run."""
    out = tmp_path_factory.mktemp("explain")
    explain.run(explain.Options(workdir=digits_run, data_dir=digits_dir, out=out))
    return out / explain.FILE


@pytest.fixture(scope="module")
def large_page(digits_page, tmp_path_factory):
    """The same without what a large network leaves out, of a dataset that is missing,
    with hostile names."""
    content = pages.content_of(digits_page)
    evil = "<img src=x onerror=alert(1)>"
    content |= {"network": None, "history": None, "title": evil}
    content["classes"] = [f"{evil}{name}" for name in content["classes"]]
    content["images"]["titles"] = [evil] * content["images"]["count"]
    content["views"]["colors"] = None
    runs = [
        {"activation": name, "epochs": epochs, "curve": FIGURE1_CURVE}
        for name, epochs in (("relu", 7), ("tanh", None))
    ]
    content["figure1"] = {"net": evil, "limit": 0.25, "runs": runs, "command": "python"}
    content["learned"] |= {"predictions": [], "mistakes": None, "neighbours": None}
    return pages.write(tmp_path_factory.mktemp("large") / "index.html", content)


@pytest.fixture
def opened(browser):
    """Opens pages; at the end none has complained or asked for anything."""
    complaints = []

    @contextlib.contextmanager
    def open_page(path, **options):
        page = browser.new_page(**options)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url)
                if not request.url.startswith(("file:", "data:", "blob:"))
                or request.url.split("#")[0] != path.as_uri()
                else None
            ),
        )
        page.goto(path.as_uri())
        yield page
        page.close()

    yield open_page
    assert complaints == []


# The network.


def packed_pixels(images):
    return [base64.b64encode(image.tobytes()).decode() for image in images]


PREDICT = "text => predict(bytesOf(text)).probabilities"


def test_probabilities_of_100_images(opened, digits_page, digits_run, digits_dir):
    model = alexnet_jax.load(digits_run)
    data = model.network.config.data
    images, _ = shown_images.read(open_source(data, data.eval_split), np.arange(100))
    with opened(digits_page) as page:
        found = [page.evaluate(PREDICT, text) for text in packed_pixels(images)]
    expected = model.predict(images).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_probabilities_of_cifar10(browser, opened, test_data, tmp_path):
    """Of the network that comes with the package."""
    options = {"workdir": Path("cifar10"), "out": tmp_path}
    data_dir = str(test_data / "tfds")
    explain.run(explain.Options(data_dir=data_dir, **options))
    assert (tmp_path / explain.FILE).stat().st_size <= 6e6
    model = alexnet_jax.load("cifar10")
    data = model.network.config.data
    source = open_source(subject.dataclasses.replace(data, data_dir=data_dir), "test")
    images, _ = shown_images.read(source, np.arange(100))
    with opened(tmp_path / explain.FILE) as page:
        found = [page.evaluate(PREDICT, text) for text in packed_pixels(images)]
    expected = model.predict(images).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


FORWARD = """([packed, text, side]) => {
  const view = { data: floatsOf(text), shape: [side, side, 3] };
  const stages = forward(unpackedNetwork(packed), view);
  return Object.fromEntries(
    Object.entries(stages).map(([name, { data }]) => [name, Array.from(data)]),
  );
}"""


@pytest.mark.parametrize("name", SMALL_CONFIGS)
def test_stages_of_any_network(opened, digits_page, name):
    """All stages of networks with every option that changes the computation."""
    network = random_network(CONFIGS[name])
    view = random_views(network.config, 1)
    packed = {
        "operations": live_network.operations_of(network),
        "params": live_network.params_of(network),
        "mean": "",
    }
    text = base64.b64encode(view.tobytes()).decode()
    with opened(digits_page) as page:
        found = page.evaluate(FORWARD, [packed, text, view.shape[1]])
    for stage, expected in stages(network, view).items():
        difference = np.abs(np.array(found[stage]) - expected.ravel()).max()
        assert difference <= 1e-5 * np.abs(expected).max(), stage


SEEN = """() => {
  const canvas = document.querySelector("#try-seen canvas");
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return Array.from(context.getImageData(0, 0, width, height).data);
}"""


def seen(page):
    """The image that the network got, uint8 `[28, 28, 3]`."""
    return np.array(page.evaluate(SEEN), np.uint8).reshape(28, 28, 4)[..., :3]


def answers(page):
    """The classes with their probabilities, as the page shows them."""
    rows = page.locator("#try-answer .bars li").all_inner_texts()
    return {row.split()[0]: float(row.split()[1]) / 100 for row in rows}


def test_a_drawn_digit(opened, digits_page, digits_run):
    """Drawn with the pointer; the page shows what Python says of the same image."""
    model = alexnet_jax.load(digits_run)
    with opened(digits_page, viewport={"width": 1280, "height": 900}) as page:
        pad = page.locator(".pad")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.15 * box["height"])
        page.mouse.down()
        for step in range(1, 15):
            down = 0.15 + 0.05 * step
            page.mouse.move(
                box["x"] + 0.5 * box["width"], box["y"] + down * box["height"]
            )
        page.mouse.up()
        drawn, shown = seen(page), answers(page)
        found = page.evaluate(PREDICT, packed_pixels([drawn])[0])
    assert drawn.max() > 150 and drawn[:, 0].max() < 40  # a stroke in the middle
    (expected,) = model.predict([drawn]).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    for name, value in shown.items():
        assert value == pytest.approx(expected[int(name)], abs=6e-4)


def test_a_drawing_is_enlarged_as_images_are(opened, digits_page):
    small = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    with opened(digits_page) as page:
        found = page.evaluate(
            "values => Array.from(Uint8ClampedArray.from(enlarged(values, 8, 28)))",
            small.ravel().tolist(),
        )
    expected = decoding.fit(np.repeat(small[..., None], 3, axis=2), 28)[..., 0]
    assert np.abs(np.array(found).reshape(28, 28) - expected.astype(int)).max() <= 1


def test_a_drawing_by_keyboard(opened, digits_page):
    with opened(digits_page) as page:
        page.locator(".pad").focus()
        before = seen(page)
        page.keyboard.press(" ")
        for _ in range(10):
            page.keyboard.press("ArrowDown")
        after = seen(page)
        assert after.max() > 150 and not np.array_equal(before, after)
        page.keyboard.press("Delete")
        assert seen(page).max() == 0


def test_a_file(opened, digits_page, tmp_path):
    """A picture of another size becomes grey, as digits are; another file says so."""
    picture = io.BytesIO()
    Image.fromarray(np.full((60, 40, 3), (200, 30, 90), np.uint8)).save(picture, "PNG")
    file = {"mimeType": "image/png"}
    with opened(digits_page) as page:
        chosen = page.locator('input[type="file"]')
        chosen.set_input_files(file | {"name": "a.png", "buffer": picture.getvalue()})
        page.wait_for_function(f"({SEEN})()[0] === 88")
        assert np.unique(seen(page)).tolist() == [88]  # 0.299 R + 0.587 G + 0.114 B
        chosen.set_input_files(file | {"name": "b.png", "buffer": b"no image"})
        page.get_by_text("not an image that the browser can read").wait_for()


def test_toggles_change_the_answer(opened, digits_page):
    with opened(digits_page) as page:
        first = page.locator("#try-layers canvas").first
        data = "canvas => canvas.toDataURL()"
        before, said = first.evaluate(data), answers(page)
        page.get_by_label("Response normalisation", exact=True).uncheck()
        assert first.evaluate(data) != before and answers(page) != said
        page.get_by_label("Response normalisation", exact=True).check()
        assert first.evaluate(data) == before and answers(page) == said
        page.get_by_label("Dropout's factor at test").uncheck()
        assert first.evaluate(data) == before and answers(page) != said


# The other parts.


def test_normalisation_in_the_page_is_that_of_the_network(opened, digits_page):
    """With the constants of the start; the divisor is at least k^beta."""
    with opened(digits_page) as page:
        text = page.locator("#norm-bars .spoken").inner_text()
        page.get_by_label("k", exact=True).fill("4")
        changed = page.locator("#norm-bars .spoken").inner_text()
        page.get_by_role("button", name="The network's constants").click()
        assert page.locator("#norm-bars .spoken").inner_text() == text != changed
    divisor = float(text.split("divided by ")[1].split()[0])
    assert divisor >= 2**0.75


def test_the_chosen_image_is_the_same_in_all_parts(opened, digits_page):
    with opened(digits_page) as page:
        page.locator("#pooling-images input").nth(3).check(force=True)
        for part in ("network", "norm", "views", "dropout"):
            assert page.locator(f"#{part}-images input").nth(3).is_checked()
        shown = page.locator("#views-mean .bars li")
        assert shown.count() == 10


def test_masks_average_to_the_factor(opened, digits_page):
    with opened(digits_page) as page:
        for _ in range(9):
            page.get_by_role("button", name="100 more").click()
        text = page.locator("#dropout .spoken").inner_text()
    assert "mean of 901 passes" in text
    # Units of 0 or 1 with mean 1/2: 1/sqrt(901), 3.3 %.
    assert float(text.split(" is ")[1].split()[0]) < 8


def test_layers_of_figure_2_can_be_clicked(opened, digits_page):
    with opened(digits_page) as page:
        page.locator('.figure2 [data-layer="conv3"] .size').first.click()
        assert page.get_by_label("conv3", exact=True).is_checked()
        assert "sees both columns" in page.locator("#network-facts").inner_text()
        page.locator('.figure2 [data-layer="fc6"] .size').first.click()
        assert page.locator("#network-maps canvas").count() == 2
        assert page.locator("#network-map").is_hidden()


def test_a_large_network_and_hostile_names(opened, large_page):
    """No part 9; names are text, and run nothing."""
    with opened(large_page) as page:
        assert page.locator("#try").count() == 0
        assert page.locator("nav a").count() == 8
        assert page.locator("img").count() == 0
        assert page.title() == "<img src=x onerror=alert(1)>, explained"
        assert "<img src=x" in page.locator("#views-mean").inner_text()
        assert (
            "with ReLU after 7.0 epochs"
            in page.locator("#activation-figure1").inner_text()
        )
        assert page.locator("#activation-figure1 path").count() == 2


@pytest.mark.parametrize("errors", [[0.0], [0.9], [0.9, 0.0], [1.0, 0.5, 0.001]])
def test_errors_of_any_size_are_drawn(opened, digits_page, tmp_path, errors):
    """Also none, which a logarithmic axis lacks, and one point without a line."""
    content = copy.deepcopy(pages.content_of(digits_page))
    part = {"epoch": list(range(1, len(errors) + 1)), "top1_error": errors}
    content["history"] |= {"test": part, "train": None}
    path = pages.write(tmp_path / "index.html", content)
    with opened(path) as page:
        page.locator("#learned-curves").scroll_into_view_if_needed()
        page.wait_for_selector("#learned-curves svg")
        ticks = page.locator("#learned-curves svg .grid").count()
        assert ticks >= 2
        points = page.locator("#learned-curves svg circle").count()
        assert points == (len(errors) == 1)
        box = page.locator("#learned-curves svg path.line").bounding_box()
        assert len(errors) == 1 or 0 <= box["height"] < 300


# Keyboard, screen readers, widths, paper.

CHANGES = """() => {
  window.changes = 0;
  new MutationObserver(list => (window.changes += list.length)).observe(
    document.body,
    { subtree: true, childList: true, attributes: true, characterData: true },
  );
}"""


def test_every_control_works_by_keyboard(opened, digits_page):
    """Each slider, group of choices, box and button changes the page."""
    with opened(digits_page) as page:
        page.evaluate(CHANGES)

        def changes_by(control, key):
            page.evaluate("window.changes = 0")
            control.focus()
            page.keyboard.press(key)
            page.wait_for_timeout(20)
            return page.evaluate("window.changes") > 0

        for control in page.locator("input[type=range]").all():
            if not control.is_visible():
                continue
            before = control.input_value()
            at_end = before == control.get_attribute("max")
            assert changes_by(control, "ArrowLeft" if at_end else "ArrowRight")
            assert control.input_value() != before
        for group in page.locator("fieldset").all():
            chosen = group.locator("input:checked")
            before = chosen.get_attribute("id")
            assert changes_by(chosen, "ArrowRight")
            assert group.locator("input:checked").get_attribute("id") != before
        for box in page.locator("input[type=checkbox]").all():
            assert changes_by(box, " ")
        for button in page.locator("button").all():
            assert changes_by(button, "Enter"), button.inner_text()


CONTROLS = """() => {
  const names = "button, input, a[href], [tabindex]";
  window.stops = Array.from(document.querySelectorAll(names)).filter(
    (node) => node.type !== "radio" || node.checked,
  );
  const shown = stops.filter((node) => node.checkVisibility());
  return shown.map((node) => stops.indexOf(node));
}"""


def test_tab_reaches_every_control(opened, digits_page):
    """Once each, of a group of choices the chosen one, and never stays."""
    with opened(digits_page) as page:
        wanted, reached = set(page.evaluate(CONTROLS)), []
        for _ in range(len(wanted)):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("stops.indexOf(document.activeElement)"))
        assert set(reached) == wanted and reached == sorted(reached)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_needs_scrolling_sideways(opened, digits_page, width):
    with opened(digits_page, viewport={"width": width, "height": 800}) as page:
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        assert page.evaluate("document.body.scrollHeight") > 3000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault(browser, digits_page, scheme, width):
    path = os.environ.get("ALEXNET_JAX_TEST_AXE")
    if not path:
        pytest.skip("ALEXNET_JAX_TEST_AXE does not name axe.min.js (npm: axe-core)")
    page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page.goto(digits_page.as_uri())
    page.evaluate(Path(path).read_text())
    result = page.evaluate("axe.run()")
    page.close()
    assert len(result["passes"]) > 20
    faults = [
        (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in result["violations"]
    ]
    assert faults == []


def test_colours_follow_the_reader(opened, digits_page):
    """And the button changes them; pictures are drawn again."""
    background = "getComputedStyle(document.body).backgroundColor"
    sheet = "document.querySelector('#network-maps canvas').toDataURL()"
    with opened(digits_page, color_scheme="dark") as page:
        dark = page.evaluate(background), page.evaluate(sheet)
        page.get_by_role("button", name="Light colours").click()
        light = page.evaluate(background), page.evaluate(sheet)
        assert all(a != b for a, b in zip(dark, light, strict=True))
        page.get_by_role("button", name="Dark colours").click()
        assert (page.evaluate(background), page.evaluate(sheet)) == dark


def test_it_prints(opened, digits_page):
    """In light colours; a page of paper is not wider than it is."""
    with opened(digits_page, color_scheme="dark") as page:
        assert page.pdf(format="A4").startswith(b"%PDF")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_broken_network_is_noticed(opened, digits_page, tmp_path):
    """The comparison with Python fails if a weight of the page is another."""
    content = copy.deepcopy(pages.content_of(digits_page))
    bias = np.frombuffer(
        base64.b64decode(content["network"]["params"]["fc8"]["bias"]), "<f4"
    )
    other = bias + np.arange(10, dtype="f4")
    content["network"]["params"]["fc8"]["bias"] = base64.b64encode(
        other.tobytes()
    ).decode()
    path = pages.write(tmp_path / "index.html", content)
    blank = packed_pixels([np.zeros((28, 28, 3), np.uint8)])[0]
    with opened(digits_page) as page, opened(path) as changed:
        right, wrong = (one.evaluate(PREDICT, blank) for one in (page, changed))
    assert np.abs(np.array(right) - wrong).max() > 1e-3
