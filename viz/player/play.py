"""`play`: from losses to a page that plays them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tinygrad_rnn as tg
from viz import checks
from viz.backward.rows import rows_of, truncated
from viz.letters import escape
from viz.player.animation import animate
from viz.player.data import as_json, page_data
from viz.player.page import page

MOST_STEPS = 300
FRAME = 860  # the height of a notebook's frame, in pixels


@dataclass(frozen=True, repr=False)
class Player:
    """A page that plays a forward and a backward pass. It shows itself in a notebook.

    html: the whole page, one self-contained file.
    """

    title: str
    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the page to an .html file; return the path."""
        checks.suffix(path, "html", "htm")
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"<Player: {self.title}, {len(self.html.encode()) / 1000:.0f} kB>"

    def _repr_html_(self) -> str:
        """The page in an iframe, so that its styles and scripts do not touch the notebook."""
        return (
            f'<iframe srcdoc="{escape(self.html)}" title="{escape(self.title)}" '
            f'sandbox="allow-scripts allow-downloads" '
            f'style="width:100%;height:{FRAME}px;border:0"></iframe>'
        )


def play(
    losses: tg.Tensor | Iterable[tg.Tensor],
    path: str | Path | None = None,
    title: str | None = None,
    detail: str = "named",
) -> Player:
    """Make a page that plays the computation of the losses and of their gradients.

    losses: the losses of the steps one by one, or values computed from them, such as their sum. The
        page differentiates the sum of all given values.
    path: the file to write: an .html page, or an .svg of one backward sweep (see `animate`). None
        writes no file.
    title: the title of the page.
    detail: "named" draws one circle between named values, "ops" one for every operation.
    Returns a `Player`, which shows itself in a notebook.
    Raises TypeError for what is no recorded Tensor, ValueError for another suffix or detail, for
    more than 300 steps, and for a tape that is truncated already: the page truncates by itself.

    The page holds the gradients ∂L_t/∂· of every loss t separately. A truncation strategy is a
    matrix M, and its gradient is Σ M[t, s] ∂L_t/∂W_s (chapter "Backpropagation Through Time"). So
    the page itself can switch strategies and cut links.

    >>> import viz
    >>> from viz.models import recurrent_loss
    >>> viz.play(recurrent_loss(steps=3))
    <Player: Backpropagation through time, 3 steps, ... kB>
    """
    outputs = checked(losses, detail)
    kind = "" if path is None else checks.suffix(path, "html", "svg")
    steps = rows_of(outputs).count
    if title is not None:
        checks.text("title", title)
    else:
        title = "Backpropagation" + (f" through time, {steps} steps" if steps > 1 else "")
    if kind == "svg":
        animate(outputs, path, title, detail)
    player = Player(title, page(title, as_json(page_data(outputs, detail))))
    if path is not None and kind == "html":
        player.save(path)
    return player


def checked(losses: tg.Tensor | Iterable[tg.Tensor], detail: str) -> list[tg.Tensor]:
    """The losses as a list, checked for `play`. The errors are those of `play`."""
    is_one = isinstance(losses, tg.Tensor) or not isinstance(losses, Iterable)
    outputs: list[Any] = [losses] if is_one else list(losses)
    checks.one_of("detail", detail, checks.DETAILS)
    checks.tensors("play", outputs)
    if not any(output.requires_grad for output in outputs):
        raise TypeError(
            "there is nothing to play: no loss was computed from a Tensor with requires_grad=True"
        )
    if why := truncated(outputs):
        raise ValueError(
            f"{why}: the page itself shows truncations, so record the network without one"
        )
    steps = rows_of(outputs).count
    if steps > MOST_STEPS:
        raise ValueError(
            f"a page holds at most {MOST_STEPS} steps, because it has the gradient of every loss "
            f"at every step, but there are {steps}: play fewer steps"
        )
    return outputs
