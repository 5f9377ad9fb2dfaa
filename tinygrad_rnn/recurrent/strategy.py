"""Parse a truncation strategy from a text, as command lines and files write it."""

from __future__ import annotations

import ast

from tinygrad_rnn.recurrent.randomized import Randomized
from tinygrad_rnn.recurrent.truncation import TBPTT, Full, Subsequence, Truncation, Window

KINDS: dict[str, type[Truncation]] = {
    kind.__name__: kind for kind in (Full, Randomized, Subsequence, TBPTT, Window)
}


def strategy(text: str) -> Truncation:
    """The truncation strategy that a text names: a call of its class with plain numbers.

    Raises ValueError for any other text. No code in the text is run.

    >>> from tinygrad_rnn.recurrent.strategy import strategy
    >>> strategy("Subsequence(2)"), strategy("tg.Full()")
    (Subsequence(k=2), Full())
    """
    try:
        call = ast.parse(text.removeprefix("tg."), mode="eval").body
        if isinstance(call, ast.Name) and call.id == "Full":
            call = ast.Call(call, [], [])
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("no call of a name")
        kind = KINDS[call.func.id]
        values = [ast.literal_eval(argument) for argument in call.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, KeyError, ValueError, MemoryError, RecursionError):
        raise ValueError(
            f"{text!r} is not a truncation; choose one of {', '.join(sorted(KINDS))} and write it "
            f'as a call, such as "Subsequence(2)"'
        ) from None
    try:
        return kind(*values, **named)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"{text}: {problem}") from None
