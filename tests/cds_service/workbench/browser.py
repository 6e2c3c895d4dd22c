"""A page in Chromium, driven as a person would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
)
WIDE, PHONE = (1360, 900), (390, 844)
READY = "return document.querySelectorAll('#example option').length > 1 && !!document.querySelector('.empty .chip')"
DROP = """
const input = Object.assign(document.createElement('input'), {type: 'file', id: 'test-drop'});
input.onchange = () => {
  const data = new DataTransfer();
  data.items.add(input.files[0]);
  for (const kind of ['dragenter', 'dragover', 'drop'])
    document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
};
document.body.append(input);
return input;
"""


def chromium(profile: Path) -> webdriver.Chrome:
    """A headless Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


class Page:
    """The workbench in a browser."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver, self.address = driver, address
        self._expected: list[str] = []

    def fresh(self, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        """Opens the page, and watches for violations of its policy from the start."""
        self.size(*size)
        self.scheme(scheme)
        self._expected = []
        self.driver.get(self.address)
        self.run("localStorage.clear(); delete document.documentElement.dataset.theme")
        self.wait(READY)
        self.driver.get_log("browser")
        self.run(
            "window.violations = [];"
            "addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))"
        )

    def expect(self, part: str) -> None:
        """A line with this in it may stand on the console: a refusal that the test is about."""
        self._expected.append(part)

    def faults(self) -> list[str]:
        """What stands on the console, and violated directives."""
        lines = [entry["message"] for entry in self.driver.get_log("browser")]
        lines = [line for line in lines if not any(part in line for part in self._expected)]
        return lines + list(self.run("return window.violations ?? []"))

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, value: str) -> None:
        """prefers-color-scheme, and no motion."""
        features = [
            {"name": "prefers-color-scheme", "value": value},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def module(self, name: str, body: str, *arguments: Any) -> Any:
        """What ``body`` (async, with the module's exports as ``m`` and the arguments as ``a``) returns."""
        script = (
            "const done = arguments[arguments.length - 1], a = [...arguments].slice(1, -1);"
            "import(new URL('workbench/static/' + arguments[0], document.baseURI))"
            f".then(async (m) => {{ {body} }}).then((value) => done([value, null]), (error) => done([null, String(error.stack)]));"
        )
        value, error = self.driver.execute_async_script(script, name, *arguments)
        assert error is None, error
        return value

    def wait(self, script: str, *arguments: Any) -> Any:
        """Waits until a script returns something true."""
        return WebDriverWait(self.driver, 15, poll_frequency=0.03).until(lambda _: self.run(script, *arguments))

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of elements, those out of sight too."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)", selector
        )
        return found

    def keys(self, *keys: str) -> None:
        """Types where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def press(self, name: str) -> None:
        """Clicks the button with this text, in the middle of the window: at its edge a long page may still move under the pointer."""
        button = self.driver.find_element(By.XPATH, f"//button[normalize-space(.)={json.dumps(name)}]")
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
        button.click()

    def paste(self, bundle: bytes | str) -> None:
        """Pastes a bundle into the field: as one input, not key by key."""
        text = bundle.decode() if isinstance(bundle, bytes) else bundle
        field = self.find("#bundle")
        field.clear()
        self.run("arguments[0].focus(); document.execCommand('insertText', false, arguments[1])", field, text)

    def drop(self, file: Path) -> None:
        made = self.run(DROP)
        made.send_keys(str(file))
        self.run("arguments[0].remove()", made)

    def judge(self, bundle: bytes | str | None = None) -> None:
        """Judges what stands in the field, or this bundle, and waits for the answer."""
        if bundle is not None:
            self.paste(bundle)
        self.run("document.getElementById('output').replaceChildren()")
        self.find("#judge").click()
        self.answered()

    def answered(self) -> None:
        self.wait("return document.querySelector('.output .headline, .output .failed')")

    def example(self, name: str) -> None:
        """Chooses an example and judges it."""
        self.run(
            "document.getElementById('bundle').value = '';"  # else what stood there would pass for the example below
            "const list = document.getElementById('example'); list.value = arguments[0];"
            "list.dispatchEvent(new Event('change'))",
            name,
        )
        self.wait("return document.getElementById('bundle').value.length > 2")
        self.judge()

    def tab(self, name: str) -> None:
        self.find(f"#tab-{name}").click()

    def focus(self) -> str:
        """What has the focus: its id, else its text."""
        found: str = self.run("const e = document.activeElement; return e.id || e.textContent.trim()")
        return found

    def send_keys_until(self, key: str, id: str, most: int = 60) -> None:
        """Presses a key until an element has the focus."""
        for _ in range(most):
            if self.focus() == id:
                return
            self.keys(key)
        raise AssertionError(f"{id} is not reached by {key!r}; the focus is on {self.focus()!r}")


TAB, ENTER, SPACE = Keys.TAB, Keys.ENTER, Keys.SPACE
LEFT, RIGHT, DOWN, END, HOME = Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.END, Keys.HOME
CONTROL, ESCAPE = Keys.CONTROL, Keys.ESCAPE
