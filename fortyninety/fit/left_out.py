"""Find the matrices that a quantized checkpoint leaves as they were, by its config's patterns.

Patterns come from whoever wrote the checkpoint, and Python's regular expressions can be made to run
for years: only a few plain ones are taken, none of which takes longer than microseconds.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property

from fortyninety.fit.errors import CheckpointError
from fortyninety.text.short_repr import short_repr

# The longest public list names every layer of Llama 3.1 405B's FP8 checkpoint: some hundreds.
MOST = 10_000
LONGEST = 200
# With a wildcard, of either kind: llm-compressor's own recipes have at most four.
MOST_PATTERNS = 8
# What its recipes use of regular expressions: names, `.`, at most two `.*`, digits, and a choice.
_TOKEN = r"[A-Za-z0-9_-]|\\\.|\.\*|\.|\\d\+|\[0-9\]\+|\((\?:)?[A-Za-z0-9_.|-]+\)"
_PLAIN_EXPRESSION = re.compile(rf"\^?({_TOKEN})*\$?")
_MOST_STARS = 2


@dataclass(frozen=True)
class LeftOut:
    """The patterns: parts of a module's name, globs, and "re:" with a regular expression.

    Raises CheckpointError for more or others than any known checkpoint has.
    """

    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self._globs) + len(self._expressions) > MOST_PATTERNS:
            raise CheckpointError(
                f"config.json: {len(self._globs) + len(self._expressions)} patterns of modules "
                f"that are not quantized; expected at most {MOST_PATTERNS}"
            )
        for expression in self._expressions:
            if (
                _PLAIN_EXPRESSION.fullmatch(expression) is None
                or expression.count("*") + expression.count("+") > _MOST_STARS
            ):
                raise CheckpointError(
                    f"config.json: the modules that are not quantized have the regular expression "
                    f"{short_repr(expression)}; expected names, '.', '.*' and '(a|b)'"
                )

    @cached_property
    def _expressions(self) -> tuple[str, ...]:
        return tuple(each[3:] for each in self.patterns if each.startswith("re:"))

    @cached_property
    def _globs(self) -> tuple[str, ...]:
        return tuple(
            each for each in self.patterns if not each.startswith("re:") and set(each) & set("*?[")
        )

    @cached_property
    def _parts(self) -> frozenset[str]:
        return frozenset(each for each in self.patterns if not each.startswith("re:"))

    def has(self, module: str) -> bool:
        """Whether a pattern is for the matrix at `module`, such as "model.layers.0.mlp.up_proj"."""
        if any(re.match(each, module) for each in self._expressions):
            return True
        if any(fnmatch.fnmatchcase(module, each) for each in self._globs):
            return True
        return self._is_named(module)

    def _is_named(self, module: str) -> bool:
        """Whether a pattern is a part of the module's name; of thousands, as fast as of one."""
        if len(self._parts) < len(module):
            return any(each in module for each in self._parts)
        return any(
            module[start:end] in self._parts
            for start in range(len(module))
            for end in range(start, len(module) + 1)
        )
