"""Examples from clinicians' feedback: what `labcue feedback export` writes, checked line by line.

An export is in the one example format already; here it is held to what feedback may say, so that no file of another origin
gets in by this door.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fhir_adapter.prompt import PROMPT_VERSION, SLOT
from training.examples import CASES, DataError, Example, read
from training.split import Split, split_of

SOURCE = "feedback"


def examples(file: Path) -> Iterator[tuple[Split, Example]]:
    """The examples of an export. All of a patient's go into one split, by the pseudonym.

    Raises:
        DataError: the file can't be read, holds nothing, a line isn't of an export, or its prompt is of another version.
    """
    number = 0
    for number, example in enumerate(read(file), start=1):
        _check(example, f"{file}: line {number}")
        yield split_of(example.group), example
    if not number:
        raise DataError(f"{file}: holds no example; was keep_prompts on where the feedback was given?")


def _check(example: Example, at: str) -> None:
    if example.source != SOURCE or any(slot.origin != "feedback" for slot in example.slots):
        raise DataError(f"{at}: is no export of feedback (source and origin must be {SOURCE!r})")
    if example.version != PROMPT_VERSION:
        raise DataError(
            f"{at}: a prompt of version {example.version}, this code trains on {PROMPT_VERSION}; leave it out"
        )
    if example.case not in CASES:
        raise DataError(f"{at}: {example.case!r} is none of {', '.join(CASES)}")
    if not example.slots or any(not example.prompt[: slot.end].endswith(SLOT) for slot in example.slots):
        raise DataError(f"{at}: a label stands where the prompt has no slot")
