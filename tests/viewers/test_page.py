"""Uses the page of `host-demo serve` in a real Chromium with a real mouse and real keys. Skips with a message where playwright or a browser is
missing. SAM_OCTA2_SCREENSHOT=docs/images/page.png takes the picture of the docs; SAM_OCTA2_INPUT is the volume in it.

    pip install pytest numpy playwright==1.65.2     # and a Chromium: apt install chromium, or playwright install chromium
    pytest tests/viewers/test_page.py
"""

import os
import shutil
import subprocess

import pytest
from conftest import HOST, VOLUME, start

np = pytest.importorskip("numpy", reason="numpy is not installed")
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CLICK = (131, 126, 6)


@pytest.fixture(scope="module")
def browser():
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium can be started: {error}")
        yield browser
        browser.close()


@pytest.fixture
def opened():
    """A server with the demo's volume."""
    process, address = start(os.environ.get("SAM_OCTA2_INPUT", str(VOLUME)))
    yield address
    process.kill()
    process.wait()


class Person:
    """Someone at the page."""

    def __init__(self, browser, address):
        self.faults = []
        self.page = browser.new_page(viewport={"width": 1200, "height": 800}, accept_downloads=True)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        self.page.goto(address)
        self.ready()

    def wait(self, until):
        """Playwright's own waiting evaluates strings in the page, which the page's policy forbids."""
        for _ in range(6000):
            if self.page.evaluate(until):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never came: {until}; the page says: {self.message()}")

    def ready(self):
        self.wait("!!state.volume && !state.busy")

    def message(self):
        return self.page.inner_text("#message")

    def at(self, x, y):
        """Where a pixel of the slice is on the screen."""
        return self.page.evaluate(
            """([x, y]) => { const box = canvas.getBoundingClientRect(), { scale, left, top } = place();
               return [box.left + (left + (x + .5) * scale) / devicePixelRatio, box.top + (top + (y + .5) * scale) / devicePixelRatio]; }""",
            [x, y],
        )

    def click(self, x, y, button="left", shift=False):
        if shift:
            self.page.keyboard.down("Shift")
        self.page.mouse.click(*self.at(x, y), button=button)
        if shift:
            self.page.keyboard.up("Shift")
        self.ready()

    def drag(self, x0, y0, x1, y1):
        self.page.mouse.move(*self.at(x0, y0))
        self.page.mouse.down()
        self.page.mouse.move(*self.at((x0 + x1) / 2, (y0 + y1) / 2), steps=4)
        self.page.mouse.move(*self.at(x1, y1), steps=4)
        self.page.mouse.up()
        self.ready()

    def press(self, key):
        self.page.keyboard.press(key)
        self.ready()

    def frame(self):
        return self.page.evaluate("state.frame")

    def frames(self, object):
        return self.page.evaluate("o => state.known.masks.find(mask => mask.object === o)?.frames.length ?? 0", object)

    def colours(self):
        """Pixels on the canvas that are not grey."""
        return self.page.evaluate(
            """() => { const data = context.getImageData(0, 0, canvas.width, canvas.height).data; let count = 0;
               for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - data[i + 2]) > 40) count++; return count; }"""
        )


def test_a_person_segments_and_saves(browser, opened, tmp_path):
    person = Person(browser, opened)
    page = person.page
    assert person.frame() == 6 and "slice 6" in page.inner_text("#corner") and person.colours() == 0
    assert page.evaluate("context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[3]") == 255, "the slice is drawn"

    person.click(*CLICK[:2])
    assert person.frames(1) == 1 and person.colours() > 100
    assert page.is_enabled("#undo") and page.is_enabled("#follow") and not page.is_enabled("#redo")
    person.click(5, 5, button="right")
    person.click(250, 250, shift=True)
    prompts = page.evaluate("state.known.objects[0].prompts.map(given => given.labels[0])")
    assert prompts == [1, 0, 0], "a right click and a Shift-click take away"

    page.mouse.move(*person.at(100, 100))
    page.mouse.wheel(0, 60)
    person.wait("state.frame === 7")
    person.press("ArrowUp")
    person.press("ArrowUp")
    assert person.frame() == 5
    person.press("Home")
    assert person.frame() == 0
    person.press("End")
    assert person.frame() == 11 and person.colours() == 0

    page.click("#follow")
    person.wait("!state.following && !state.busy")
    assert person.message().startswith("done") and person.frames(1) > 1
    followed = person.frames(1)
    person.press("Control+z")
    assert person.frames(1) == 1
    person.press("Control+y")
    assert person.frames(1) == followed

    for _ in range(5):
        person.press("ArrowUp")
    person.press("n")
    person.drag(60, 40, 110, 90)
    assert person.page.evaluate("state.object") == 2 and person.frames(2) == 1
    assert page.evaluate("state.known.objects[1].prompts[0].box") == [60, 40, 110, 90]
    assert page.locator("#objects li").count() == 2
    page.click("#objects li:nth-child(2) button:nth-child(2)")
    assert page.inner_text("#objects li:nth-child(2) button:nth-child(2)") == "show"

    with page.expect_download() as download:
        page.click("#save")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    person.ready()
    subprocess.run([HOST, "convert", file, tmp_path / "labels.npy", "--quiet"], check=True)
    labels = np.load(tmp_path / "labels.npy")
    assert labels.shape == (12, 256, 256) and set(np.unique(labels)) == {0, 1, 2}
    assert (labels[:, :, :] == 1).any(axis=(1, 2)).sum() == followed
    with page.expect_download() as download:
        page.click("#script")
    assert "propagate" in open(download.value.path()).read()

    page.click("#remove")
    person.ready()
    assert person.frames(2) == 0 and page.locator("#objects li").count() == 1
    assert not person.faults, person.faults
    page.close()


def test_a_scribble(browser, opened):
    person = Person(browser, opened)
    page = person.page
    person.press("s")
    assert page.get_attribute("#tool-line", "aria-pressed") == "true"
    person.drag(125, 118, 137, 134)
    assert person.frames(1) == 1, person.message()
    labels = page.evaluate("state.known.objects[0].prompts.flatMap(given => given.labels)")
    assert labels and set(labels) == {1}, "a scribble becomes clicks"
    page.keyboard.down("Shift")
    person.drag(20, 20, 60, 20)
    page.keyboard.up("Shift")
    assert 0 in page.evaluate("state.known.objects[0].prompts.flatMap(given => given.labels)")
    person.press("s")
    person.press("n")
    person.drag(60, 40, 110, 90)
    assert page.evaluate("state.known.objects[1].prompts[0].box") == [60, 40, 110, 90]
    assert not person.faults, person.faults
    page.close()


def test_german_and_chinese(browser, opened):
    person = Person(browser, opened)
    page = person.page
    english = page.inner_text("aside")
    page.select_option("#language", "de")
    assert page.inner_text("#add") == "Neues Objekt" and "Schicht 6 von" in page.inner_text("#corner")
    page.select_option("#language", "zh")
    assert page.inner_text("#add") == "新对象" and page.evaluate("document.documentElement.lang") == "zh-Hans"
    page.reload()
    person.ready()
    assert page.inner_text("#undo") == "撤销", "the choice is kept"
    untranslated = page.evaluate("""() => { const found = []; const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let node; (node = walker.nextNode());) if (/[a-z]{3,}/.test(node.data) && !node.parentElement.closest('script, kbd, footer, select, header b')) found.push(node.data.trim());
        return found; }""")
    assert not untranslated, untranslated
    page.select_option("#language", "en")
    assert page.inner_text("aside") == english
    assert not person.faults, person.faults
    page.close()


def test_a_file_is_dropped_and_a_wrong_one_named(browser, opened, tmp_path):
    person = Person(browser, opened)
    page = person.page
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no volume")
    page.set_input_files("#file", wrong)
    person.wait("!state.busy && document.getElementById('message').className === 'bad'")
    assert "notes.txt" in person.message() and "/tmp" not in person.message()
    page.set_input_files("#file", VOLUME)
    person.ready()
    assert person.message().startswith("volume.nii.gz: 256 × 256 pixels, 12 slices")
    page.close()


def test_following_is_stopped(browser, opened):
    person = Person(browser, opened)
    page = person.page
    person.click(*CLICK[:2])
    page.evaluate("stopped = false; new MutationObserver(() => { if (!stopped) { stopped = true; stop(); } }).observe($('message'), { childList: true, characterData: true, subtree: true })")
    page.keyboard.press("f")
    person.wait("!state.following && !state.busy")
    assert person.message().startswith(("stopped", "done"))
    person.click(*CLICK[:2])
    assert page.locator("#message.bad").count() == 0, "the session goes on"
    page.close()


def test_the_server_is_gone(browser):
    process, address = start(str(VOLUME))
    person = Person(browser, address)
    process.kill()
    process.wait()
    person.click(*CLICK[:2])
    assert "does not answer" in person.message()
    person.page.close()


@pytest.mark.skipif("SAM_OCTA2_SCREENSHOT" not in os.environ, reason="takes a picture where SAM_OCTA2_SCREENSHOT says so")
def test_picture(browser, opened):
    person = Person(browser, opened)
    for at, point in enumerate(os.environ.get("SAM_OCTA2_CLICKS", "131,126").split()):
        if at:
            person.press("n")
        person.click(*map(float, point.split(",")))
    person.page.click("#follow")
    person.wait("!state.following && !state.busy")
    person.page.mouse.move(5, 5)
    person.page.screenshot(path=os.environ["SAM_OCTA2_SCREENSHOT"])
    person.page.close()
