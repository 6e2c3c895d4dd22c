"""The embedded model's own tokenizer: a few tokens a result.

It reads the prompt through a lens: the words of the header that never change, the raw value with its unit and the interval's limits are
skipped (they are there for models that can read numbers); what stays is the list of tests, the share outside, and of each result the test's name, where the interval comes from, on which
side the value lies, its position, the three logs, the answers in words and the change. Numbers are read as sign, whole
part and first decimal in one token (from ten on in two), and the second decimal in the next. The rest is byte-level BPE, trained on prompts, in which each name of the catalog is a single token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from fhir_adapter.catalog import Catalog
from fhir_adapter.prompt import LABELS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LABEL_TOKENS = {label: f"<{label}>" for label in LABELS}
"""The vocabulary entry of each label; no text can be encoded as one."""

BEGIN = "<s>"
_NUMBER = r" ?[+-]\d\.\d| ?[+-]\d\d(?=\.\d)|(?<=[+-]\d\d)\.\d|(?<=\.\d)\d| ?[+-]\d+%"
SKIPPED = (
    r"^Laboratory results\. Patient: |\. After => stands N, L, H, A, LL, HH or AA\.\n",  # the header's frame
    r"^Tests(?= ·)|^Outside their intervals: \d+ of \d+,",
    r"(?<=: )-?\d[^\[\n:;]*(?= \[)|(?<=: [<>])=?-?\d[^\[\n:;]*(?= \[)",  # the value and its unit
    r"(?<= \[)[^\]\n]*?(?= (?:lab|site|usual)\])",  # the interval's limits
    r"(?<=; critical )\[[^\]\n]*\] ",  # the critical limits
    r"(?<=; )was [^\n;]*; change [^\s]+ ?|(?<=; )was [^\n;]*(?=;| =>)",  # the earlier numbers; the change in percent stays
)
"""What the small model doesn't read, as patterns."""
SINGLE = (
    *SKIPPED[:1],
    r"^Tests ·[^\n]*|^Outside their intervals: [^\n]*",
    *SKIPPED[2:],
)
"""The lens for one result a prompt: its name and whether it lies outside stand in its own line."""
BARE = (
    SKIPPED[0],
    r"^Tests(?= ·)|^Outside their intervals: .*",
    r"(?<=\]) (?:below|inside|above|across)(?= )(?: [+-][\d.]+)?",
    r" log [-+][\d.]* [-+][\d.]* [-+][\d.]*| log [-+][\d.]+ - -",
    r"; change [^\n;=]*?(?= =>|;)|; critical \[[^\]\n]*\] (?:above|below|across)",
)
"""The other lens, to compare with: values, units and limits as they are, none of the adapter's arithmetic."""
LENSES = {"positions": SKIPPED, "single": SINGLE, "numbers": BARE}
_NAME = r'(?m)^[^"\n:][^\n:]*:'
_LISTED = r" · [^·\n]+?(?= ·|\n)"
"""A name in the header's list of tests."""
_FRAME = r" ?[\[\];\n]| (?=[ \[;]|\Z)"
"""Brackets, semicolons, line ends and lone spaces: no text from outside holds them, and the words beside them say enough."""
_PIECES = rf"{_NUMBER}| log| =>| ?[^\W\d_]+| ?\d| ?[^\s\w]+|\s"


def new_tokenizer(
    catalog: Catalog,
    prompts: Iterable[str],
    size: int = 4096,
    lens: Literal["positions", "single", "numbers"] = "positions",
) -> Tokenizer:
    """A tokenizer of at most ``size`` entries, trained on prompts; the names of the catalog are whole."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    model: Any = models.BPE()
    tokenizer = Tokenizer(model)
    steps: list[Any] = [pre_tokenizers.Split(Regex(pattern), "removed") for pattern in LENSES[lens]]
    steps.append(pre_tokenizers.Split(Regex(_LISTED), "isolated"))
    steps.append(pre_tokenizers.Split(Regex(_NAME), "isolated"))
    steps.append(pre_tokenizers.Split(Regex(_FRAME), "removed"))
    # The first alternative leaves a name in one piece.
    steps.append(pre_tokenizers.Split(Regex(rf'^ · [^·\n]+$|^[^"\n:\s][^\n:]*:$|{_PIECES}'), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    special = [BEGIN, *LABEL_TOKENS.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(catalog, prompts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    tokenizer.encode_special_tokens = True
    return tokenizer


def _corpus(catalog: Catalog, prompts: Iterable[str]) -> Iterator[str]:
    yield from prompts
    for analyte in catalog.analytes.values():
        for _ in range(200):
            yield f"Tests · {analyte.name()}\n{analyte.name()}: 1 [none] =>\n"
    for sign in "+-":
        for whole in range(100):
            for digit in range(10):
                for _ in range(4):
                    yield f" {sign}{whole}.{digit}{whole % 7} {sign}{whole}%"
