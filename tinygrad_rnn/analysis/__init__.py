"""What recurrence and truncation do to the gradient, in numbers, in words and in pictures."""

from tinygrad_rnn.analysis.jacobians import jacobian_norms, jacobian_products, jacobians
from tinygrad_rnn.analysis.parts import gradient_norms, pair_contributions, step_contributions
from tinygrad_rnn.analysis.pictures import new_figure, plot_lags, plot_pairs, plot_steps
from tinygrad_rnn.analysis.report import Report, report
from tinygrad_rnn.analysis.spectrum import Spectrum, spectrum

__all__ = [
    "Report",
    "Spectrum",
    "gradient_norms",
    "jacobian_norms",
    "jacobian_products",
    "jacobians",
    "new_figure",
    "pair_contributions",
    "plot_lags",
    "plot_pairs",
    "plot_steps",
    "report",
    "spectrum",
    "step_contributions",
]
