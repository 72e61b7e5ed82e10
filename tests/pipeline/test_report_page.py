"""The page in a real browser, from disk: what it shows, asks for and says, whatever files are called."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from ..conftest import TINY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
EVIL = "</script><img src=x onerror=boom()><script>boom()</script>.avi"  # slashes in it make folders


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=list(FLAGS), timeout=120_000)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def hostile(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a video whose name is a script."""
    from mofore.pipeline.cli import cli

    root = tmp_path_factory.mktemp("hostile")
    shutil.copytree(drawn, root / "videos")
    evil = root / "videos" / f"{next(path for path in sorted(drawn.iterdir()) if path.is_dir()).name}" / EVIL
    evil.parent.mkdir(parents=True)
    shutil.copy(next(drawn.rglob("*.avi")), evil)
    depth = ("--set", "data.class_depth=1", "--set", "data.layout=folders")
    for command in (
        [
            "init",
            f"{root}/videos",
            "--backbone",
            "random:test_efficientnet",
            "-w",
            root,
            "--no-estimate",
            *depth,
            *TINY,
        ],
        ["run", "-w", root],
    ):
        done = CliRunner().invoke(cli, [*map(str, command)])
        assert done.exit_code == 0, done.output
    return next(root.glob("report/*/index.html"))


class Watched:
    """A page, and what it complained of or asked for."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.complaints: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message) or dialog.dismiss())
        self.page.on("request", self._asked)
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.add_init_script("window.boom = () => { window.boomed = true; console.error('boom') }")
        self.page.goto(path.as_uri())

    def _asked(self, request: object) -> None:
        url = request.url  # type: ignore[attr-defined]
        if not url.startswith(("file:", "data:")):
            self.complaints.append(f"outside: {url}")

    def shown(self, selector: str) -> str:
        return self.page.inner_text(selector)


@pytest.fixture
def opened(browser: Browser, hostile: Path) -> Iterator[Callable[..., Watched]]:
    pages: list[Watched] = []

    def open_page(**given: object) -> Watched:
        pages.append(Watched(browser, hostile, **given))  # type: ignore[arg-type]
        return pages[-1]

    yield open_page
    for each in pages:
        assert not each.complaints, "the console is silent, and nothing but files was asked for"
        each.page.context.close()


def test_names_that_are_scripts_are_text(opened: Callable[..., Watched]) -> None:
    watched = opened()
    watched.page.fill("#find", "onerror")
    assert EVIL in watched.shown("#found li")
    watched.page.press("#find", "Enter")
    assert EVIL in watched.shown("#chosen")
    assert watched.page.evaluate("window.boomed") is None
    assert watched.page.locator("main img").count() == 0


def test_a_video_is_found_and_its_neighbours_are_shown(opened: Callable[..., Watched]) -> None:
    watched = opened()
    page = watched.page
    assert page.locator("#examples .strip").count() >= 3
    name = page.evaluate("mofore.videos.ids[5]")
    page.fill("#find", name)
    page.locator("#found li").first.click()
    assert name in watched.shown("#chosen")
    assert page.locator("#chosen .strip").count() == 2, "with and without training"
    style = page.locator("#chosen .tile .picture").first.evaluate("(box) => getComputedStyle(box).backgroundImage")
    assert "thumbs/" in style
    page.fill("#find", "no such video at all")
    assert "no video has that" in watched.shown("#found")
    page.press("#find", "Escape")
    assert page.locator("#found").is_hidden()


def test_strips_and_map_are_used_from_the_keyboard(opened: Callable[..., Watched]) -> None:
    watched = opened()
    page = watched.page
    page.locator("#examples .strip button").first.focus()
    page.keyboard.press("ArrowRight")
    second = page.evaluate("Number(document.activeElement.dataset.video)")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("rank 1, similarity")
    page.keyboard.press("Enter")
    assert page.evaluate(f"mofore.videos.ids[{second}]") in watched.shown("#chosen")
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").is_visible()
    told = watched.shown("#tip")
    page.keyboard.press("Enter")
    assert told.splitlines()[-2].strip() in watched.shown("#chosen")


def test_the_map_shows_what_is_pointed_at_and_opens_what_is_clicked(opened: Callable[..., Watched]) -> None:
    watched = opened()
    page = watched.page
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    width, height = page.evaluate("[canvas.clientWidth, canvas.clientHeight]")
    places = page.evaluate("Array.from(mofore.maps[0].places)")
    side = min(width, height) - 36
    video = 3
    x = width / 2 + (places[2 * video] / 65535 - 0.5) * side
    y = height / 2 - (places[2 * video + 1] / 65535 - 0.5) * side
    canvas.hover(position={"x": x, "y": y})
    assert page.locator("#tip").is_visible()
    seen = next(name for name in page.evaluate("mofore.videos.ids") if name in watched.shown("#tip"))
    canvas.click(position={"x": x, "y": y})
    assert seen in watched.shown("#chosen")
    for kind in ("group", "side", "error"):
        if page.locator(f"#map-colour option[value={kind}]").count():
            page.select_option("#map-colour", kind)
            assert page.locator("#map-legend span.swatch").count() >= 1
    page.select_option("#map-kind", "1")
    assert "PCA" in watched.shown("#map-how")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(opened: Callable[..., Watched], scheme: str) -> None:
    page = opened(width=390, scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    light = [sum(map(int, colour[4:-1].split(","))) > 380 for colour in (before, after)]
    assert light == ([True, False] if scheme == "light" else [False, True])


def test_every_picture_and_control_has_a_name(opened: Callable[..., Watched]) -> None:
    page = opened().page
    unnamed = """
      [...document.querySelectorAll('[role=img], button, input, select, canvas')].filter((each) =>
        !(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length)).length
    """
    assert page.evaluate(unnamed) == 0


def test_a_comparison_is_a_page_of_its_own(
    browser: Browser, finished: Path, work: Path, tmp_path: Path, mofore: Callable[..., Result]
) -> None:
    mofore("evaluate", "-w", work, "--set", "fit.seed=1")
    done = mofore("compare", finished, work, "--html", tmp_path / "both.html")
    assert "both.html" in done.stderr
    watched = Watched(browser, tmp_path / "both.html", width=390)
    assert not watched.complaints
    assert "fit.seed" in watched.shown("main")
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390
    watched.page.context.close()
