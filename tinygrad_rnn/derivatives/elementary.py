"""The elementary functions of one variable."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.derivatives.table import derivative

derivative(np.exp, lambda g, y: g * y)
derivative(np.log, lambda g, x: g / x)
derivative(np.sqrt, lambda g, y: g / (2 * y))
derivative(np.sin, lambda g, x: g * np.cos(x))
derivative(np.cos, lambda g, x: -g * np.sin(x))
derivative(np.tanh, lambda g, y: g - g * y * y)
