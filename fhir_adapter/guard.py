"""What is checked before anything is decoded: size, UTF-8, nesting. Each check is one linear pass in C."""

from __future__ import annotations

import re

from fhir_adapter.errors import LimitExceeded, NotJson, Violation

_BOM = b"\xef\xbb\xbf"
_BRACES = bytes.maketrans(b"{}", b"[]")
_IRRELEVANT = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')


class Checked(bytes):
    """JSON that has passed :func:`checked`, or stands whole inside such: UTF-8, nested ``depth`` deep at most."""

    depth: int

    @classmethod
    def at(cls, data: bytes, depth: int) -> Checked:
        """Bytes of which that is known."""
        made = cls(data)
        made.depth = depth
        return made


def checked(data: bytes | memoryview, *, max_bytes: int, max_depth: int) -> Checked:
    """The input as bytes without a byte order mark, once it is known to be UTF-8 and within the limits. What is known
    already isn't looked at again.

    Raises:
        LimitExceeded: larger than ``max_bytes``, or nested deeper than ``max_depth`` objects and arrays.
        NotJson: not UTF-8, or empty.
    """
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size > max_bytes:
        raise LimitExceeded(violations=(Violation("$this", "The input has more bytes than this service reads."),))
    if isinstance(data, Checked) and data and data.depth <= max_depth:
        return data
    whole = data if isinstance(data, bytes) else bytes(data)
    if whole.startswith(_BOM):
        whole = whole[len(_BOM) :]
    try:
        str(whole, "utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(violations=(Violation("$this", f"Byte {error.start} is not UTF-8."),)) from None
    if not whole.strip():
        raise NotJson(violations=(Violation("$this", "The input is empty."),))
    depth = _depth(whole, max_depth)
    if depth > max_depth:
        raise too_deep()
    return Checked.at(whole, depth)


def too_deep() -> LimitExceeded:
    """The error for input that is nested too deeply."""
    return LimitExceeded(violations=(Violation("$this", "The input is nested deeper than this service reads."),))


def _depth(data: bytes, limit: int) -> int:
    """How deep objects and arrays nest, or more than ``limit``. Of input that isn't JSON it may say either; the decoder has
    the last word on it.

    Only brackets and quotes are kept. Taking out a pair of quotes that touch never moves what is left from inside a
    string to its outside, so most strings go in one pass; then each round takes out the innermost level.
    """
    if b"\\" in data:
        data = _ESCAPE.sub(b"", data)
    left = data.translate(_BRACES, _IRRELEVANT).replace(b'""', b"")
    if b'"' in left:
        left = _STRING.sub(b"", left)
    for depth in range(limit):
        peeled = left.replace(b"[]", b"")
        if len(peeled) == len(left):
            # What is left is deeper than the limit, or unbalanced; the unbalanced kind is the decoder's to refuse.
            return depth if not left else _of_unbalanced(left, limit)
        left = peeled
    return limit if not left else _of_unbalanced(left, limit)


def _of_unbalanced(left: bytes, limit: int) -> int:
    deeper = left.startswith(b"[" * (limit + 1)) or b"[]" in left
    return limit + 1 if deeper else limit
