"""Training: clipping the gradient, and the rules that take a step along it.

Everything here takes the parameters as a dict from name to Tensor, as `cell.parameters()` gives
them, or as a list of Tensors; one without a gradient (absent, not zero) is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor

Parameters = Mapping[str, Tensor] | Iterable[Tensor]


def clip_grad_norm(parameters: Parameters, max_norm: float) -> float:
    """Scale all gradients down together until their global norm is at most `max_norm`.

    g ← g · min(1, θ / ‖g‖), the norm over all entries of all parameters: the direction stays.
    Returns the norm before clipping, in double precision.
    Raises ValueError, naming the parameter, if a gradient is not finite: scaled, it would pass
    on NaN in silence. Pascanu, Mikolov & Bengio (2013), "On the difficulty of training RNNs".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(np.array([3.0, 4.0]), requires_grad=True, name="w")
    >>> w.backward(w.data)
    >>> tg.clip_grad_norm({"w": w}, 1.0), w.grad
    (5.0, array([0.6, 0.8]))
    """
    if not max_norm > 0:
        raise ValueError(f"the norm can be clipped at a positive number only, not at {max_norm}")
    gradients = _gradients(parameters)
    norm = _global_norm(gradients)
    if norm > max_norm:
        for gradient in gradients.values():
            gradient *= max_norm / norm
    return norm


def clip_grad_value(parameters: Parameters, limit: float) -> None:
    """Clip every entry of every gradient to [−limit, limit]; the direction may change.

    Raises ValueError, naming the parameter, if a gradient is not finite.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(np.array([3.0, -0.5]), requires_grad=True)
    >>> w.backward(w.data)
    >>> tg.clip_grad_value({"w": w}, 1.0)
    >>> w.grad
    array([ 1. , -0.5])
    """
    if not limit > 0:
        raise ValueError(f"gradients can be clipped at a positive number only, not at {limit}")
    for gradient in _gradients(parameters).values():
        np.clip(gradient, -limit, limit, out=gradient)


def _gradients(parameters: Parameters) -> dict[str, Any]:
    """The gradients that are there, each finite and an array that can be written into."""
    gradients = {}
    for name, parameter in _named(parameters).items():
        if parameter.grad is None:
            continue
        if not np.all(np.isfinite(parameter.grad)):
            raise ValueError(
                f"the gradient of {name}, of shape {parameter.shape}, is not finite; "
                f"clipping cannot mend that: a smaller learning rate or a shorter truncation may"
            )
        if not isinstance(parameter.grad, np.ndarray):
            parameter.grad = np.array(parameter.grad)
        gradients[name] = parameter.grad
    return gradients


def _global_norm(gradients: Mapping[str, Any]) -> float:
    # In units of the largest entry, for the squares of large float32 numbers overflow.
    largest = max((float(np.max(np.abs(g), initial=0.0)) for g in gradients.values()), default=0.0)
    if largest == 0:
        return 0.0
    squares = (float(np.sum(np.square(g / largest, dtype=np.float64))) for g in gradients.values())
    return float(largest * np.sqrt(sum(squares)))


def _named(parameters: Parameters) -> dict[str, Tensor]:
    """The parameters by name; those of a list by their own names, or else by their places."""
    if isinstance(parameters, Mapping):
        named = dict(parameters)
    else:
        named = {}
        for place, tensor in enumerate(
            [parameters] if isinstance(parameters, Tensor) else parameters
        ):
            name = getattr(tensor, "name", None) or f"parameter {place}"
            named[f"{name} (parameter {place})" if name in named else name] = tensor
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor) or not tensor.requires_grad:
            raise TypeError(
                f"the parameters are Tensors with requires_grad=True, as a dict such as "
                f"cell.parameters() or a list, but {name} is {type(tensor).__name__}"
                + (" without it" if isinstance(tensor, Tensor) else "")
            )
    return named


class Optimizer:
    """What the rules share: the parameters, the learning rate, and what is remembered of each."""

    def __init__(self, parameters: Parameters, learning_rate: float) -> None:
        if not learning_rate > 0:
            raise ValueError(f"the learning rate must be positive, not {learning_rate}")
        self.parameters = _named(parameters)
        self.learning_rate = learning_rate
        self.memory: dict[str, Any] = {}
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients: they are absent afterwards, not zero."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient.

        Its `.data` is a new array afterwards: what has been recorded with the old one, such as
        the steps that a `stream` still looks back on, stays right.
        """
        self.steps += 1
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                update = self.update(name, parameter.grad)
                change = np.asarray(self.learning_rate * update, parameter.dtype)
                parameter.data = np.asarray(parameter.data - change)

    def update(self, name: str, g: Any) -> Any:
        """What is subtracted, in units of the learning rate."""
        raise NotImplementedError

    def average(self, name: str, value: Any, decay: float) -> Any:
        """The running mean m ← decay·m + (1 − decay)·value, from zero."""
        before = self.memory.get(name, np.zeros_like(value))
        self.memory[name] = decay * before + (1 - decay) * value
        return self.memory[name]


class SGD(Optimizer):
    """Stochastic gradient descent: v ← μ v + g, w ← w − η v; without momentum, v = g.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([3.0], requires_grad=True)
    >>> optimizer = tg.SGD({"w": w}, learning_rate=0.1)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([2.4])
    """

    def __init__(self, parameters: Parameters, learning_rate: float, momentum: float = 0.0) -> None:
        super().__init__(parameters, learning_rate)
        self.momentum = momentum

    def update(self, name: str, g: Any) -> Any:
        if not self.momentum:
            return g
        self.memory[name] = self.momentum * self.memory.get(name, np.zeros_like(g)) + g
        return self.memory[name]


class Adagrad(Optimizer):
    """s ← s + g², w ← w − η g / (√s + ε). Duchi, Hazan & Singer (2011).

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([3.0], requires_grad=True)
    >>> optimizer = tg.Adagrad({"w": w}, learning_rate=0.5)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([2.5])
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float = 0.01, epsilon: float = 1e-10
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.epsilon = epsilon

    def update(self, name: str, g: Any) -> Any:
        self.memory[name] = self.memory.get(name, np.zeros_like(g)) + g * g
        return g / (np.sqrt(self.memory[name]) + self.epsilon)


class RMSProp(Optimizer):
    """s ← γ s + (1 − γ) g², w ← w − η g / (√s + ε). Tieleman & Hinton (2012), lecture 6.5.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([3.0], requires_grad=True)
    >>> optimizer = tg.RMSProp({"w": w}, learning_rate=0.1, decay=0.75)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([2.8])
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float = 0.01,
        decay: float = 0.99,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.decay, self.epsilon = decay, epsilon

    def update(self, name: str, g: Any) -> Any:
        return g / (np.sqrt(self.average(name, g * g, self.decay)) + self.epsilon)


class Adam(Optimizer):
    """m ← β₁ m + (1−β₁) g, s ← β₂ s + (1−β₂) g², w ← w − η m̂ / (√ŝ + ε); Kingma & Ba (2015).

    m̂ = m / (1 − β₁ᵗ) and ŝ = s / (1 − β₂ᵗ) undo the bias towards the zeros at the beginning.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([3.0], requires_grad=True)
    >>> optimizer = tg.Adam({"w": w}, learning_rate=0.1)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([2.9])
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.betas, self.epsilon = betas, epsilon

    def update(self, name: str, g: Any) -> Any:
        first, second = self.betas
        m = self.average(f"{name} m", g, first) / (1 - first**self.steps)
        s = self.average(f"{name} s", g * g, second) / (1 - second**self.steps)
        return m / (np.sqrt(s) + self.epsilon)
