"""Plots with matplotlib.

Series differ in colour and in marker. The colours are those of Okabe & Ito (2008), "Color Universal
Design", which colour-blind readers can distinguish. Legends stand beside the axes and cover no
curve.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np

from tinygrad_rnn.analysis.spectra import Spectrum
from tinygrad_rnn.engine.graph import Array

BLUE, GREY = "#0072B2", "#8a8a8a"
COLOURS = (BLUE, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*"
FEW = 12  # markers on a curve, few enough not to hide it


def styles() -> Iterator[dict[str, Any]]:
    """Yield a colour and a marker for each series in turn, as keywords of matplotlib's `plot`.

    7 colours and 8 markers make 56 different pairs. Then the pairs repeat.

    >>> import tinygrad_rnn as tg
    >>> next(tg.analysis.styles())
    {'color': '#0072B2', 'marker': 'o'}
    """
    pairs = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    return ({"color": colour, "marker": marker} for colour, marker in pairs)


def plot_lags(
    curves: Mapping[str, Any],
    bounds: Spectrum | None = None,
    title: str = "How much of a state is left k steps on",
    ylabel: str = r"$\|\,\partial h_t \,/\, \partial h_{t-k} \|$",
) -> Any:
    """Plot norms over the lag, on a logarithmic axis: a straight line is a constant rate.

    curves: by name, the norms at lag 0, 1, ...: (K+1,) or (K+1, batch). Of a batch, the geometric
        mean is drawn as a curve, and the range as a band.
    bounds: the `spectrum` of the recurrent weights; its bounds are drawn dashed.
    Returns a matplotlib Figure: `.savefig(path)`.
    Raises ImportError, with what to install, if matplotlib is missing.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> figure = tg.analysis.plot_lags({"0.9^k": 0.9 ** np.arange(30)})
    >>> figure.axes[0].get_yscale()
    'log'
    """
    check_by_name("curves", curves)
    figure, axes = new_figure(6.4, 4.0)
    longest = 1
    for (name, norms), style in zip(curves.items(), styles(), strict=False):
        norms = np.asarray(norms, np.float64)
        lag = np.arange(len(norms))
        longest = max(longest, len(norms))
        visible = np.where(norms > 0, norms, np.nan)
        if visible.ndim == 2:
            axes.fill_between(
                lag, visible.min(1), visible.max(1), color=style["color"], alpha=0.15, lw=0
            )
            visible = np.exp(np.mean(np.log(visible), axis=1))
        every = max(1, len(lag) // FEW)
        axes.semilogy(lag, visible, **style, label=name, lw=1.6, ms=4, markevery=every)
    if bounds is not None:
        axes.set_ylim(axes.get_ylim())  # limits from the curves; bounds may lie outside
        lag = np.arange(longest)
        axes.semilogy(lag, bounds.upper(lag), "--", color=GREY, lw=1, label="σᵏ, upper bound")
        axes.semilogy(
            lag, bounds.lower(lag), ":", color=GREY, lw=1.2, label="ρᵏ, lower bound if linear"
        )
    axes.set(xlabel="lag k (steps back)", ylabel=ylabel, title=title, xlim=(0, longest - 1))
    axes.grid(True, which="major", color="0.9")
    add_legend(figure)
    return figure


def plot_steps(
    curves: Mapping[str, Any],
    title: str = "What each step adds to the gradient",
    ylabel: str = r"$\|\,\partial L \,/\, \partial W_s \|$",
) -> Any:
    """Plot the contribution of each step to a gradient, on a logarithmic axis.

    curves: by name, the norms of the contributions of the steps 1, 2, ..., (T,). A step without a
        contribution, because no gradient reaches it, has no marker.
    Returns a matplotlib Figure.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> figure = tg.analysis.plot_steps({"full": 0.8 ** np.arange(20)[::-1]})
    """
    check_by_name("curves", curves)
    figure, axes = new_figure(6.4, 4.0)
    for (name, norms), style in zip(curves.items(), styles(), strict=False):
        norms = np.asarray(norms, np.float64)
        step = np.arange(1, len(norms) + 1)
        axes.semilogy(
            step, np.where(norms > 0, norms, np.nan), "-", **style, label=name, ms=3.5, lw=1.2
        )
    axes.set(xlabel="step s", ylabel=ylabel, title=title)
    axes.grid(True, which="major", color="0.9")
    add_legend(figure)
    return figure


def plot_pairs(panels: Mapping[str, Any], title: str = "Which losses reach which steps") -> Any:
    """Plot (loss, step) matrices: which losses reach which steps, and with which weight.

    panels: by name, a (T, T) matrix: the `weights(T)` of a strategy, or `pair_contributions`.
        A matrix of zeros and ones is drawn in one colour. Other values are drawn on a colour scale,
        which is logarithmic if they span more than two orders of magnitude.
    Returns a matplotlib Figure.

    >>> import tinygrad_rnn as tg
    >>> figure = tg.analysis.plot_pairs({repr(s): s.weights(12) for s in (tg.Full(), tg.Window(3))})
    """
    check_by_name("panels", panels)
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    figure, _ = new_figure(2.9 * columns + 0.4, 2.9 * rows + 0.3, axes=False)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, matrix) in zip(grid.flat, panels.items(), strict=False):
        _draw_pairs(figure, axes, np.asarray(matrix, np.float64))
        axes.set_title(name, fontsize=9)
        axes.set(xlabel="step s", ylabel="loss t")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return figure


def check_by_name(argument: str, given: Any) -> None:
    """TypeError or ValueError unless there are names, each with an array."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{argument} must be a dict from names to arrays, but its type is "
            f"{type(given).__name__}"
        )
    if not given:
        raise ValueError(f"{argument} is empty: pass at least one name with an array")


def _draw_pairs(figure: Any, axes: Any, matrix: Array) -> None:
    from matplotlib.colors import ListedColormap, LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    T = len(matrix)
    # Steps are counted from 1, as in the names in graphs.
    extent = (0.5, T + 0.5, T + 0.5, 0.5)
    shown = np.ma.masked_equal(matrix, 0)
    values = shown.compressed()
    if np.all(values == 1):
        axes.imshow(shown, cmap=ListedColormap([BLUE]), extent=extent, interpolation="none")
    else:
        wide = values.size and values.min() > 0 and values.max() / values.min() > 100
        norm = LogNorm(max(values.min(), 1e-12 * values.max()), values.max()) if wide else None
        image = axes.imshow(
            shown, cmap="viridis_r", norm=norm or Normalize(min(0, values.min()), values.max()),
            extent=extent, interpolation="none",
        )  # fmt: skip
        figure.colorbar(image, ax=axes, shrink=0.75)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def add_legend(figure: Any) -> None:
    """Add a legend beside the axes, where it covers no curve."""
    figure.legend(loc="outside right center", edgecolor="none", fontsize=8)


def new_figure(width: float, height: float, axes: bool = True) -> tuple[Any, Any]:
    """A Figure without a window and without global state. It shows itself in a notebook."""
    try:
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from problem
    figure = _showing_itself(Figure)(figsize=(width, height), dpi=150, layout="constrained")
    return figure, figure.subplots() if axes else None


@cache
def _showing_itself(kind: Any) -> Any:
    """matplotlib's Figure with the method by which notebooks show an object.

    pyplot registers one for its own figures, but a fresh kernel has not imported pyplot."""

    class Plot(kind):  # type: ignore[misc]
        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png")
            return data.getvalue()

    return Plot
