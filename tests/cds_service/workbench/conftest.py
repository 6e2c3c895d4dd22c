"""The real service with its HTTP door, and one real Chromium for all browser tests."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds_service.config import Settings
from cds_service.serving import Running, running
from tests.cds_service.workbench.browser import Page, chromium

SETTINGS = {"doors": "http", "http_port": 0, "engine": "fake", "drain_grace_s": 2.0}


@contextmanager
def serving(**given: Any) -> Iterator[Running]:
    """A service in a thread of its own, so that a test may block on a browser."""
    up: list[Running] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running(Settings(**(SETTINGS | given))) as server:
            up.append(server)
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        yield up[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """A service on loopback with the fake engine: each result gets a probability, and nothing is loaded."""
    with serving() as server:
        yield server


@pytest.fixture
def client(service: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{service.http_port}", timeout=30, trust_env=False) as made:
        yield made


@pytest.fixture(scope="session")
def browser(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One headless Chromium at the service's page."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here; apt-get install chromium chromium-driver")
    driver = chromium(tmp_path_factory.mktemp("chromium"))
    try:
        yield Page(driver, f"http://127.0.0.1:{service.http_port}/")
    finally:
        driver.quit()


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The page afresh, wide and light, in English; at the end nothing stands on its console and no policy was violated."""
    browser.fresh()
    yield browser
    assert browser.faults() == []


@pytest.fixture
def drop(page: Page, tmp_path: Path) -> Callable[[str, bytes], None]:
    """Drops a file on the page."""

    def dropped(name: str, content: bytes) -> None:
        file = tmp_path / name
        file.write_bytes(content)
        page.drop(file)

    return dropped
