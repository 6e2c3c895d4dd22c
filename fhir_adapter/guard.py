"""What is checked before anything is decoded: size, UTF-8, nesting. Each check is one linear pass in C."""

from __future__ import annotations

import re

from fhir_adapter.errors import LimitExceeded, NotJson, Violation

_BOM = b"\xef\xbb\xbf"
_BRACES = bytes.maketrans(b"{}", b"[]")
_IRRELEVANT = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')


def checked(data: bytes | memoryview, *, max_bytes: int, max_depth: int) -> bytes:
    """The input as bytes without a byte order mark, once it is known to be UTF-8 and within the limits.

    Raises:
        LimitExceeded: larger than ``max_bytes``, or nested deeper than ``max_depth`` objects and arrays.
        NotJson: not UTF-8, or empty.
    """
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size > max_bytes:
        raise LimitExceeded(violations=(Violation("$this", "The input has more bytes than this service reads."),))
    whole = data if isinstance(data, bytes) else bytes(data)
    if whole.startswith(_BOM):
        whole = whole[len(_BOM) :]
    try:
        str(whole, "utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(violations=(Violation("$this", f"Byte {error.start} is not UTF-8."),)) from None
    if not whole.strip():
        raise NotJson(violations=(Violation("$this", "The input is empty."),))
    if _deeper_than(whole, max_depth):
        raise too_deep()
    return whole


def too_deep() -> LimitExceeded:
    """The error for input that is nested too deeply."""
    return LimitExceeded(violations=(Violation("$this", "The input is nested deeper than this service reads."),))


def _deeper_than(data: bytes, limit: int) -> bool:
    """Whether objects and arrays nest deeper than ``limit``. Input that isn't JSON may say either; the decoder has the
    last word on it.

    Only brackets and quotes are kept. Taking out a pair of quotes that touch never moves what is left from inside a
    string to its outside, so most strings go in one pass; then each round takes out the innermost level.
    """
    if b"\\" in data:
        data = _ESCAPE.sub(b"", data)
    left = data.translate(_BRACES, _IRRELEVANT).replace(b'""', b"")
    if b'"' in left:
        left = _STRING.sub(b"", left)
    for _ in range(limit):
        peeled = left.replace(b"[]", b"")
        if len(peeled) == len(left):
            break
        left = peeled
    # What is left is deeper than the limit, or unbalanced; the unbalanced kind is the decoder's to refuse.
    return left.startswith(b"[" * (limit + 1)) or b"[]" in left
