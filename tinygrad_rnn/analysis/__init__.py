"""The effect of recurrence and truncation on gradients, in numbers, words and pictures."""

from typing import TYPE_CHECKING

from tinygrad_rnn.support.names import on_demand

if TYPE_CHECKING:
    from tinygrad_rnn.analysis.parts import (
        gradient_norms as gradient_norms,
        pair_contributions as pair_contributions,
        step_contributions as step_contributions,
    )
    from tinygrad_rnn.analysis.pictures import (
        new_figure as new_figure,
        plot_lags as plot_lags,
        plot_pairs as plot_pairs,
        plot_steps as plot_steps,
        styles as styles,
    )
    from tinygrad_rnn.analysis.reporting import Report as Report, report as report
    from tinygrad_rnn.analysis.spectra import Spectrum as Spectrum, spectrum as spectrum
    from tinygrad_rnn.analysis.state_jacobians import (
        jacobian_norms as jacobian_norms,
        jacobian_products as jacobian_products,
        jacobians as jacobians,
    )

__all__, __getattr__, __dir__ = on_demand(
    __name__,
    {
        "state_jacobians": "jacobian_norms jacobian_products jacobians",
        "parts": "gradient_norms pair_contributions step_contributions",
        "pictures": "new_figure plot_lags plot_pairs plot_steps styles",
        "reporting": "Report report",
        "spectra": "Spectrum spectrum",
    },
)
