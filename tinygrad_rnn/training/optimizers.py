"""Optimizers: update rules that move the parameters along the gradient.

Each rule is one equation. Its memory of a parameter is a dict of arrays, in single precision at
least. In half precision, ε and the squares of small gradients would underflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.support.describe import as_typed
from tinygrad_rnn.training.parameters import distinct
from tinygrad_rnn.training.positive import check_positive

Rate = float | Callable[[int], float]
"""The learning rate η: a number, or a function of the step, counted from 0."""


class Optimizer:
    """The base of all rules: the parameters, the learning rate, and the memory of each parameter.

    parameters: a cell or model, a dict or list of Tensors, or a nesting. A Tensor that appears
        twice is one parameter. A parameter without a gradient (absent, not zero) is not moved.
    learning_rate: η, or a function from the number of steps taken so far to η.
    Raises TypeError for anything that is not a parameter; ValueError if there is none, or for a
    learning rate that is not positive.
    """

    def __init__(self, parameters: Any, learning_rate: Rate) -> None:
        if not callable(learning_rate):
            check_positive("learning_rate", learning_rate)
        self.parameters = distinct(parameters)
        if not self.parameters:
            raise ValueError("there are no parameters to move: pass a cell, a model or Tensors")
        self.learning_rate = learning_rate
        self.memory: dict[str, dict[str, Any]] = {name: {} for name in self.parameters}
        self.steps = 0

    def zero_grad(self) -> None:
        """Set every `.grad` to None: the gradients are absent afterwards, not zero."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient.

        Each `.data` becomes a new array. Steps recorded with the old array, such as those that a
        `stream` has still to differentiate, keep their correct gradients.
        """
        rate = float(self.learning_rate(self.steps) if callable(self.learning_rate)
                     else self.learning_rate)  # fmt: skip
        self.steps += 1
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                w, dtype = _precise(parameter.data), parameter.dtype
                change = rate * self.direction(w, _precise(parameter.grad), self.memory[name])
                parameter.data = (w - change).astype(dtype)

    def direction(self, w: Any, g: Any, memory: dict[str, Any]) -> Any:
        """The update direction: w ← w − η · direction.

        w, g: a parameter and its gradient.
        memory: the rule's memory of this parameter, empty at its first step. The arrays in it are
            replaced and never written into.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, apart from the parameters, as plain values.

        The optimizer replaces its arrays and never writes into them, so the returned state does
        not change. `restore` takes it; `tg.save_run` writes it to a file.
        """
        rate = {} if callable(self.learning_rate) else {"learning_rate": self.learning_rate}
        memory = {name: dict(values) for name, values in self.memory.items() if values}
        return {"rule": type(self).__name__, "steps": self.steps, **rate, "memory": memory}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state()` of an optimizer of the same rule for the same parameters.

        A schedule is a function of the step, so the state has the number of steps and not the
        schedule. Raises ValueError if the rule, a name or a shape differs.

        >>> import numpy as np, tinygrad_rnn as tg
        >>> w = tg.Tensor([3.0], requires_grad=True, name="w")
        >>> one, other = tg.Adam(w), tg.Adam(w)
        >>> w.backward(np.ones(1))
        >>> one.step()
        >>> other.restore(one.state())
        >>> other.steps, sorted(other.memory["w"])
        (1, ['m', 's', 'steps'])
        """
        if state["rule"] != type(self).__name__:
            raise ValueError(
                f"the saved state is that of {state['rule']}, but this optimizer is "
                f"{type(self).__name__}: make an optimizer of the saved kind"
            )
        steps, rate = state["steps"], state.get("learning_rate", self.learning_rate)
        if not isinstance(steps, int) or not (callable(rate) or isinstance(rate, float | int)):
            raise ValueError(
                f"the saved state must have a number of steps and a learning rate, but it has "
                f"{steps!r} and {rate!r}"
            )
        memory: dict[str, dict[str, Any]] = {name: {} for name in self.parameters}
        for name, values in state["memory"].items():
            if name not in memory:
                raise ValueError(
                    f"the saved state has the parameter {name}, but the optimizer has "
                    f"{', '.join(memory) or 'none'}"
                )
            shape = self.parameters[name].shape
            for key, value in values.items():
                if np.shape(value) not in [shape, ()]:
                    raise ValueError(
                        f"the saved {key} of {name} has the shape {np.shape(value)}, but the "
                        f"parameter has {shape}"
                    )
            memory[name] = dict(values)
        self.memory, self.steps = memory, steps
        if not callable(self.learning_rate):
            self.learning_rate = rate

    def __repr__(self) -> str:
        return as_typed(self, "parameters")


def _precise(x: Any) -> Any:
    """The array in single precision at least."""
    return x.astype(np.float32) if x.dtype.itemsize < 4 else x


def _average(memory: dict[str, Any], key: str, value: Any, decay: float) -> Any:
    """The running mean m ← decay·m + (1 − decay)·value, from zero."""
    memory[key] = (decay * memory[key] if key in memory else 0.0) + (1 - decay) * value
    return memory[key]


class SGD(Optimizer):
    """Stochastic gradient descent: w ← w − η g; with momentum, v ← μ v + g and w ← w − η v.

    nesterov: Nesterov momentum, w ← w − η (g + μ v). Sutskever et al. (2013), "On the importance
        of initialization and momentum in deep learning".
    Raises ValueError for nesterov without momentum, and for a momentum outside of [0, 1).

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([3.0], requires_grad=True)
    >>> optimizer = tg.SGD({"w": w}, learning_rate=0.1)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([2.4])
    """

    def __init__(
        self,
        parameters: Any,
        learning_rate: Rate,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, learning_rate)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}")
        if nesterov and not momentum:
            raise ValueError("nesterov=True needs a momentum: pass momentum=0.9, for example")
        self.momentum, self.nesterov = momentum, nesterov

    def direction(self, w: Any, g: Any, memory: dict[str, Any]) -> Any:
        if not self.momentum:
            return g
        memory["v"] = self.momentum * memory["v"] + g if "v" in memory else g
        return g + self.momentum * memory["v"] if self.nesterov else memory["v"]


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

    def __init__(self, parameters: Any, learning_rate: Rate = 0.01, epsilon: float = 1e-10) -> None:
        super().__init__(parameters, learning_rate)
        self.epsilon = epsilon

    def direction(self, w: Any, g: Any, memory: dict[str, Any]) -> Any:
        memory["s"] = memory.get("s", 0.0) + g * g
        return g / (np.sqrt(memory["s"]) + self.epsilon)


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
        parameters: Any,
        learning_rate: Rate = 0.01,
        decay: float = 0.99,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.decay, self.epsilon = decay, epsilon

    def direction(self, w: Any, g: Any, memory: dict[str, Any]) -> Any:
        return g / (np.sqrt(_average(memory, "s", g * g, self.decay)) + self.epsilon)


class Adam(Optimizer):
    """m ← β₁ m + (1−β₁) g, s ← β₂ s + (1−β₂) g², w ← w − η m̂ / (√ŝ + ε); Kingma & Ba (2015).

    m̂ = m / (1 − β₁ᵗ) and ŝ = s / (1 − β₂ᵗ) correct the bias towards the initial zeros. t counts
    the gradients that this parameter has had.

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
        parameters: Any,
        learning_rate: Rate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers from 0 to below 1, not {betas!r}")
        self.betas, self.epsilon = betas, epsilon

    def direction(self, w: Any, g: Any, memory: dict[str, Any]) -> Any:
        first, second = self.betas
        t = memory["steps"] = memory.get("steps", 0) + 1
        m = _average(memory, "m", g, first) / (1 - first**t)
        s = _average(memory, "s", g * g, second) / (1 - second**t)
        return m / (np.sqrt(s) + self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay, w ← w − η λ w, independent of the gradient's scale.

    weight_decay: λ. Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor([3.0], requires_grad=True)
    >>> optimizer = tg.AdamW({"w": w}, learning_rate=0.1, weight_decay=0.5)
    >>> w.backward(np.zeros(1))
    >>> optimizer.step()
    >>> w.data
    array([2.85])
    """

    def __init__(
        self,
        parameters: Any,
        learning_rate: Rate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, learning_rate, betas, epsilon)
        self.weight_decay = weight_decay

    def direction(self, w: Any, g: Any, memory: dict[str, Any]) -> Any:
        return self.weight_decay * w + super().direction(w, g, memory)
