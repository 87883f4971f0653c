"""Pages for tests, and the browser that opens them."""

import contextlib
import json
import os
import re
import shutil

import pytest

from alexnet_jax.explanation import page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser_path():
    """Chromium, as the environment names it or from PATH; None without one."""
    named = os.environ.get("ALEXNET_JAX_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextlib.contextmanager
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # Root in a container has no sandbox; the pages are ours.
        started = playwright.chromium.launch(
            executable_path=browser_path(), args=["--no-sandbox"]
        )
        yield started
        started.close()


def content_of(path):
    """The content of a page."""
    found = re.search(r'id="content">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def write(path, content):
    page.write(path, content)
    return path
