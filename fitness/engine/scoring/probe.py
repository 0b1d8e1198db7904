"""How models of a kind are run with exact results, and in what sizes: tried on the first of them, and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from torch import nn

from fitness.engine.language_model import LogLikelihood
from fitness.engine.model.forward import device_of, kind_of
from fitness.engine.model.memory import Sizes, fitting_sizes, free_memory, is_out_of_memory
from fitness.engine.model.text_model import text_settings
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.readout import Layout, Mode
from fitness.engine.scoring.rows import RowLayout
from fitness.engine.scoring.windows import Window
from fitness.errors import FitnessError, in_brief
from fitness.typing import Floats

log = logging.getLogger(__name__)

A = TypeVar("A")

_N_TOKENS = 256  # of each probed window, unless the model treats long ones differently
_TOLERANCES = {"torch.float32": 1e-3, "torch.float64": 1e-6}  # nats
# Half precision rounds logits in their third digit, so its errors grow with the log-likelihoods: a real SmolLM2 in
# bfloat16 differs by 1 to 2 % between any two layouts. A layout that is wrong differs by tens of percent.
_HALF_TOLERANCE, _HALF_SHARE = 0.25, 0.03


class Sizing:
    """The mode and the sizes of every kind of model that was met; given ones hold for all kinds."""

    def __init__(self, n_tokens: int, memory: int | None, mode: Mode | None = None, sizes: Sizes | None = None) -> None:
        if memory is not None and memory < 2**20:
            raise FitnessError(f"memory: expected at least 1 MiB, found {memory} bytes")
        self._n_tokens, self._memory = n_tokens, memory
        self._mode = mode
        self._sizes = sizes
        self._modes: dict[str, Mode] = {}
        self._fitting: dict[str, Sizes] = {}

    def mode(self, model: nn.Module, windows: Callable[[], Sequence[Window]]) -> Mode:
        """Return how models of this kind are run, found on `windows` where it is not known yet."""
        key = kind_of(model)
        if self._mode is None and key not in self._modes:
            self._modes[key] = exact_mode(model, windows())
        return self._mode or self._modes[key]

    def sizes(self, model: nn.Module) -> Sizes:
        """Return what a forward pass of models of this kind may hold."""
        key = kind_of(model)
        if key not in self._fitting:
            self._fitting[key] = self._sizes or fitting_sizes(model, n_vocabulary=self._n_tokens, budget=self._memory)
        return self._fitting[key]

    def in_passes_that_fit(self, model: nn.Module, attempt: Callable[[nn.Module], A]) -> A:
        """Return what an attempt returns, in ever smaller passes as long as memory runs out."""
        while True:
            try:
                return attempt(model)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    if not self.gives_up_flex(model, error):
                        raise
                    continue
            # Outside the handler: its traceback would keep the failed pass's tensors alive.
            self.shrink(model)
            free_memory()

    def gives_up_flex(self, model: nn.Module, error: RuntimeError) -> bool:
        """Run models of this kind without flex_attention from now on, if they were run with it."""
        key = kind_of(model)
        if self._modes.get(key) != "flex":
            return False
        log.warning("flex_attention is not used any more: %s", in_brief(error))
        self._modes[key] = "packed"
        return True

    def shrink(self, model: nn.Module) -> None:
        """Halve the sizes for models of this kind, from now on."""
        sizes = self._fitting[kind_of(model)]
        if sizes.tokens == sizes.reads == 1:
            raise FitnessError("one token alone does not fit in memory: free some, or use a smaller model")
        self._fitting[kind_of(model)] = sizes.halved()


def exact_mode(model: nn.Module, windows: Sequence[Window]) -> Mode:
    """Return the fastest mode whose scores equal those of plain batches, and log one line if the first one's do not."""
    probed = _probed(windows, getattr(model, "config", None))
    plain = _scores(RowLayout(probed, chunk_size=1, most_reads=2**20, share_prefix=False), model)
    half = _HALF_TOLERANCE + _HALF_SHARE * np.abs(plain)
    longest = max((len(window.inputs) for window in probed), default=1)
    reasons = []
    on_gpu = device_of(model).type == "cuda"
    for mode, lay_out in _modes(probed, chunk_size=max(8, longest // 3), on_gpu=on_gpu).items():
        try:
            differences = np.abs(_scores(lay_out(), model) - plain)
        except Exception as error:  # whatever a model's code does when it is run in another way, it cannot be run so
            reasons.append(f"{mode}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        if (differences <= _TOLERANCES.get(str(getattr(model, "dtype", "")), half)).all():
            if reasons:
                log.warning("%s is scored in mode %s; %s", type(model).__name__, mode, "; ".join(reasons))
            return mode
        reasons.append(f"{mode}: log-likelihoods differ by {differences.max():.2g}")
    log.warning("%s is scored in plain padded batches; %s", type(model).__name__, "; ".join(reasons))
    return "plain"


def _modes(windows: list[Window], chunk_size: int, *, on_gpu: bool) -> dict[Mode, Callable[[], Layout]]:
    """Return the modes to try, the fastest first; flex_attention is slow on a CPU."""
    flex: dict[Mode, Callable[[], Layout]] = {
        "flex": lambda: PackedLayout.of_windows(windows, chunk_size=chunk_size, flex=True)
    }
    return (flex if on_gpu else {}) | {
        "packed": lambda: PackedLayout.of_windows(windows, chunk_size=chunk_size),
        "prefix": lambda: RowLayout(windows, chunk_size=2**20, most_reads=2**20, share_prefix=True),
    }


def _scores(layout: Layout, model: nn.Module) -> Floats:
    reading = layout.readout.start()
    layout.run(model, reading)
    answers = [layout.readout.answer(i, reading) for i in range(layout.readout.n_windows)]
    return np.array([answer.value for answer in answers if isinstance(answer, LogLikelihood)])


def _probed(windows: Sequence[Window], config: Any) -> list[Window]:
    """Return all of up to four windows; of more two that share much, and the longest and shortest."""
    ordered = sorted(windows, key=lambda window: window.inputs)
    by_length = sorted(ordered, key=lambda window: len(window.inputs))
    middle = len(ordered) // 2
    some = [*ordered[middle : middle + 2], *by_length[:1], *by_length[-1:]]
    chosen = dict.fromkeys(ordered if len(ordered) <= len(some) else some)
    whole = _depends_on_length(config)
    return [_scored(window.inputs if whole else window.inputs[-_N_TOKENS:]) for window in chosen]


def _scored(inputs: tuple[int, ...]) -> Window:
    """Return a window that predicts its own last tokens, and any token after them."""
    n = min(len(inputs), 16)
    return Window.predicting(inputs, (*inputs[len(inputs) - n + 1 :], inputs[0]))


def _depends_on_length(config: Any) -> bool:
    """Say whether a model may treat long sequences differently: sliding windows, rotary scaling by length."""
    text_config = text_settings(config)
    rotary = str(getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None))
    sliding = getattr(text_config, "sliding_window", None) is not None
    return sliding or "dynamic" in rotary or "longrope" in rotary
