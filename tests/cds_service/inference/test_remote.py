"""The remote engine against a real HTTP server over a real tiny Mistral: the same numbers as here, and rules where it goes wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cds_service.inference.breaker import Breaker, RetryBudget
from cds_service.inference.calls import Calls, Server
from cds_service.inference.engine import Bounded
from cds_service.inference.mistral import MistralEngine, load_mistral
from cds_service.inference.remote import RemoteEngine, load_remote
from fhir_adapter.errors import (
    Cancelled,
    ConfigError,
    EngineAnswer,
    EngineError,
    EngineLate,
    EngineRefused,
    EngineUnreachable,
    PromptTooLong,
)
from fhir_adapter.prompt import Prompt, render
from tests.cds_service.inference.completion_server import KEY, Behaviour, serve
from tests.cds_service.inference.conftest import make_panel

PANEL = make_panel(6)
PROMPT = render(PANEL)


@pytest.fixture(scope="module")
def started(tiny_folder: Path) -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()
    with serve(tiny_folder, behaviour) as url:
        yield url, behaviour


@pytest.fixture
def behaviour(started: tuple[str, Behaviour]) -> Behaviour:
    """The running server's behaviour, well again."""
    found = started[1]
    fresh = Behaviour(release=found.release)
    found.release.clear()
    vars(found).update(vars(fresh))
    return found


@pytest.fixture
def remote(started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path) -> Iterator[RemoteEngine]:
    engine = connect(started[0], tiny_folder)
    yield engine
    engine.close()


async def at_once(seconds: float) -> None:
    """In place of the pauses between tries."""


def connect(
    url: str, folder: Path, *, dialect: Any = "vllm", adapter: Path | None = None, **given: Any
) -> RemoteEngine:
    server = Server(url, key=given.pop("key", KEY), timeout_s=given.pop("timeout_s", 20.0))
    calls = Calls(server, pause=given.pop("pause", at_once), **given)
    return load_remote(calls, "labcue", folder, adapter, dialect=dialect)


def ask(engine: RemoteEngine, seconds: float = 20, prompts: tuple[Prompt, ...] = (PROMPT,)) -> Any:
    return engine.score_within(prompts, deadline=time.monotonic() + seconds, cancelled=lambda: False)


def numbers(scores: Any) -> list[float]:
    return [number for score in scores for number in score.probabilities]


def test_its_scores_are_those_of_the_same_model_here(remote: RemoteEngine, engine: MistralEngine) -> None:
    prompts = (PROMPT, render(make_panel(0)), render(make_panel(11, seed=3)))
    scored = ask(remote, prompts=prompts)
    for there, here in zip(scored, engine.score(prompts), strict=True):
        assert [score.slot for score in there] == [score.slot for score in here]
        assert numbers(there) == pytest.approx(numbers(here), abs=1e-5)
    assert remote.thresholds == engine.thresholds
    assert remote.info == engine.info
    assert remote.max_results == engine.max_results
    assert isinstance(remote, Bounded)


def test_with_an_adapters_manifest_it_reads_as_that_adapter(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path, tiny_adapter: Path
) -> None:
    engine = connect(started[0], tiny_folder, adapter=tiny_adapter)
    assert (engine.info.name, engine.info.adapter, engine.info.version) == ("tiny", "tiny-lora", "0.2")
    assert engine.thresholds.default == 0.3
    engine.close()


def test_prompts_of_a_panel_are_each_others_prefixes_and_hold_tokens_only(
    remote: RemoteEngine, behaviour: Behaviour
) -> None:
    ask(remote)
    [asked] = behaviour.requests
    prompts = asked["prompt"]
    assert len(prompts) == len(PROMPT.slots)
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(prompts))
    assert all(type(token) is int for prompt in prompts for token in prompt)
    assert (asked["max_tokens"], asked["temperature"]) == (1, 0)
    assert len(asked["allowed_token_ids"]) == 7


def test_an_older_server_that_gives_the_likeliest_only(
    remote: RemoteEngine, behaviour: Behaviour, engine: MistralEngine
) -> None:
    """The tiny model spreads its probability over everything: the labels are not among its likeliest, and that is said."""
    behaviour.knows_token_ids = False
    with pytest.raises(EngineAnswer):
        ask(remote)


def test_the_openai_dialect_asks_for_no_more_than_it_knows(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path
) -> None:
    """Its five likeliest are labels, held so by a bias; with this model the two that are missing may matter: refused."""
    engine = connect(started[0], tiny_folder, dialect="openai")
    with pytest.raises(EngineAnswer):
        ask(engine)
    [asked] = behaviour.requests
    assert set(asked) == {"model", "prompt", "max_tokens", "temperature", "stream", "logprobs", "logit_bias"}
    assert asked["logprobs"] == 5
    engine.close()


BAD = [
    "html",
    "not_json",
    "too_few",
    "one_twice",
    "no_logprobs",
    "other_model",
    "cut",
    "other_labels",
    "label_in_doubt",
]
BAD += ["nan", "words", "above_one"]


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_answer_is_never_taken_for_the_models(remote: RemoteEngine, behaviour: Behaviour, fault: str) -> None:
    behaviour.faults = [fault]
    with pytest.raises(EngineAnswer, match=r"^model answered badly$"):
        ask(remote)
    assert len(behaviour.requests) == 1, "asked again, it would say the same"
    ask(remote)


@pytest.mark.parametrize("fault", ["error500", "error503", "busy", "reset", "half"])
def test_what_passes_by_is_tried_again(
    remote: RemoteEngine, behaviour: Behaviour, engine: MistralEngine, fault: str
) -> None:
    behaviour.faults = [fault, fault]
    scored = ask(remote)
    assert numbers(scored[0]) == pytest.approx(numbers(engine.score([PROMPT])[0]), abs=1e-5)
    assert len(behaviour.requests) == 3


@pytest.mark.parametrize("fault", ["error500", "error503", "busy", "reset", "half"])
def test_what_stays_is_unreachable(remote: RemoteEngine, behaviour: Behaviour, fault: str) -> None:
    behaviour.always = fault
    with pytest.raises(EngineUnreachable, match=r"^model unreachable$"):
        ask(remote)
    assert len(behaviour.requests) == 3


def test_it_waits_as_long_as_the_server_says_and_no_longer_than_the_caller_has(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path
) -> None:
    waited: list[float] = []

    async def noted(seconds: float) -> None:
        waited.append(seconds)

    engine = connect(started[0], tiny_folder, pause=noted)
    behaviour.faults = ["busy"]
    ask(engine)
    assert waited == [7.0]
    behaviour.faults = ["busy"]
    with pytest.raises(EngineUnreachable):
        ask(engine, seconds=6.5)
    assert waited == [7.0]
    engine.close()


@pytest.mark.parametrize("fault", ["error400", "redirect"])
def test_a_refusal_is_not_repeated_and_its_text_not_logged(
    remote: RemoteEngine, behaviour: Behaviour, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    behaviour.faults = [fault]
    with pytest.raises(EngineRefused, match=r"^model refused the request$"):
        ask(remote)
    assert len(behaviour.requests) == 1
    assert str(behaviour.requests[0]["prompt"][0][:3])[1:-1] not in caplog.text


def test_the_key_goes_to_the_server_and_nowhere_else(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good, bad = connect(started[0], tiny_folder), connect(started[0], tiny_folder, key="wrong-secret")
    ask(good)
    assert behaviour.heads[0]["Authorization"] == f"Bearer {KEY}"
    with pytest.raises(EngineRefused) as caught:
        ask(bad)
    for secret in (KEY, "wrong-secret"):
        assert secret not in caplog.text
        assert secret not in repr(good) + repr(caught.value)
    assert KEY not in repr(Server("http://x", key=KEY))
    good.close()
    bad.close()


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_slow_server_holds_nobody_beyond_its_deadline(remote: RemoteEngine, behaviour: Behaviour, fault: str) -> None:
    behaviour.always = fault
    with pytest.raises(EngineLate, match=r"^model too late$"):
        ask(remote, seconds=0.2)
    with pytest.raises(EngineLate):
        ask(remote, seconds=-1)


def test_a_caller_that_leaves_ends_its_request_there(remote: RemoteEngine, behaviour: Behaviour) -> None:
    behaviour.always = "hang"
    gone = threading.Event()
    caught: list[BaseException] = []

    def call() -> None:
        try:
            remote.score_within([PROMPT], deadline=None, cancelled=gone.is_set)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert behaviour.began.acquire(timeout=20)
    gone.set()
    thread.join(20)
    assert [type(error) for error in caught] == [Cancelled]


def test_a_server_that_fails_is_left_alone_and_tried_again_later(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    breaker = Breaker(failures=4, reset_s=5, clock=lambda: now[0])
    engine = connect(started[0], tiny_folder, breaker=breaker, tries=1)
    behaviour.always = "error503"
    for _ in range(10):
        with pytest.raises(EngineUnreachable):
            ask(engine)
    assert len(behaviour.requests) == 4
    assert caplog.text.count("the model's server fails") == 1
    now[0] = 5.0
    behaviour.always = None
    ask(engine)
    ask(engine)
    assert len(behaviour.requests) == 6
    assert "answers again" in caplog.text
    engine.close()


def test_retries_do_not_multiply_the_load_on_a_server_that_is_down(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path
) -> None:
    budget = RetryBudget(share=0.1, most=2)
    engine = connect(started[0], tiny_folder, budget=budget, breaker=Breaker(failures=10**6))
    behaviour.always = "error503"
    for _ in range(20):
        with pytest.raises(EngineUnreachable):
            ask(engine)
    assert 20 + 2 <= len(behaviour.requests) <= 20 + 2 + 2
    engine.close()


def test_connections_are_kept(remote: RemoteEngine, behaviour: Behaviour) -> None:
    for _ in range(5):
        ask(remote)
    assert len(behaviour.connections) == 1


def test_many_callers_get_their_own_answers(remote: RemoteEngine, engine: MistralEngine) -> None:
    prompts = [render(make_panel(4, seed=seed)) for seed in range(8)]
    expected = [numbers(engine.score([prompt])[0]) for prompt in prompts]
    answers: list[Any] = [None] * 8

    def call(number: int) -> None:
        answers[number] = numbers(ask(remote, prompts=(prompts[number],))[0])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, wanted in zip(answers, expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)


def test_nobody_there(tiny_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = connect(f"http://127.0.0.1:{port}/v1", tiny_folder)
    with pytest.raises(EngineUnreachable):
        ask(engine)
    engine.warm_up()
    assert "rules answer until it does" in caplog.text
    engine.close()
    with pytest.raises(EngineError):
        ask(engine)


def test_at_the_start_a_wrong_model_or_key_is_named(
    started: tuple[str, Behaviour], behaviour: Behaviour, tiny_folder: Path
) -> None:
    good = connect(started[0], tiny_folder)
    good.warm_up()
    good.close()
    behaviour.served = "another"
    other = connect(started[0], tiny_folder)
    with pytest.raises(ConfigError, match="remote_model: the server doesn't serve labcue; it serves another"):
        other.warm_up()
    other.close()
    locked_out = connect(started[0], tiny_folder, key="wrong")
    with pytest.raises(ConfigError, match="refuses requests"):
        locked_out.warm_up()
    locked_out.close()
    behaviour.served, behaviour.always = "labcue", "other_labels"
    wrong = connect(started[0], tiny_folder)
    with pytest.raises(EngineAnswer):
        wrong.warm_up()
    wrong.close()


def test_beyond_the_context_window_nothing_is_sent(remote: RemoteEngine, behaviour: Behaviour) -> None:
    remote._manifest = remote._manifest.__class__("m", "1", remote._manifest.prompt_version, max_tokens=50)
    with pytest.raises(PromptTooLong):
        ask(remote)
    assert behaviour.requests == []


def test_the_same_model_loaded_here_and_served_there_differ_by_no_flag(remote: RemoteEngine, tiny_folder: Path) -> None:
    here = load_mistral(tiny_folder, device="cpu")
    prompt = render(make_panel(20, seed=5))
    there = ask(remote, prompts=(prompt,))[0]
    threshold = here.thresholds.default
    assert [score.abnormal >= threshold for score in there] == [
        score.abnormal >= threshold for score in here.score([prompt])[0]
    ]
