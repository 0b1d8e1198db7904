"""Where stored tensors of parents come from, on one device: from memory there, from the host's, or from their files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from search_spaces.parents.checkpoint_files import StoredTensor
from search_spaces.residency.host_memory import HostMemory

# Bytes that are copied ahead of the merge that needs them.
_AHEAD_BYTES = 256 * 2**20


class Supply(Protocol):
    """Gives stored tensors on its device."""

    @property
    def device(self) -> torch.device:
        """Where tensors are given, and merges run."""
        ...

    def expect(self, groups: Sequence[Sequence[StoredTensor]]) -> None:
        """Prepare for tensors that will be read: those of a group together, group by group in this order.

        A hint: what is expected need not be read, and anything may be read.
        """
        ...

    def read(self, tensor: StoredTensor) -> Tensor:
        """Return a tensor on the device; do not write to it."""
        ...


class Mapped:
    """From the parents' files: the system is told to read ahead, and what it has read is copied."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def expect(self, groups: Sequence[Sequence[StoredTensor]]) -> None:
        """Let the system read what is expected, file by file in the order of their bytes."""
        wanted = {(str(t.path), t.first): t for group in groups for t in group}
        opened: dict[str, int] = {}
        try:
            for (path, first), tensor in sorted(wanted.items(), key=lambda item: item[0]):
                if path not in opened:
                    opened[path] = os.open(path, os.O_RDONLY)
                os.posix_fadvise(opened[path], first, tensor.nbytes, os.POSIX_FADV_WILLNEED)
        except (OSError, AttributeError):  # a hint only, which not every system takes
            return
        finally:
            for descriptor in opened.values():
                os.close(descriptor)

    def read(self, tensor: StoredTensor) -> Tensor:
        """Return a copy on the device; on a CPU the view of the file's pages."""
        return tensor.read().to(self.device)


class Resident:
    """From the device itself: every tensor is copied there when it is first read, and stays."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._held: dict[StoredTensor, Tensor] = {}

    def expect(self, groups: Sequence[Sequence[StoredTensor]]) -> None:
        """Do nothing."""

    def read(self, tensor: StoredTensor) -> Tensor:
        """Return the one copy."""
        if tensor not in self._held:
            self._held[tensor] = tensor.read().to(self.device, copy=True)
        return self._held[tensor]


@dataclass(frozen=True)
class _Copy:
    """A tensor on its way to the device."""

    group: int
    tensor: Tensor
    done: torch.cuda.Event | None


class Streamed:
    """From pinned memory of the host, which the node's workers share: copied while the tensors before are merged."""

    def __init__(self, device: torch.device, host: HostMemory, *, ahead_bytes: int = _AHEAD_BYTES) -> None:
        """Copy at most `ahead_bytes` before they are read, but a whole group at least."""
        self.device = device
        self._host = host
        self._limit = ahead_bytes
        side: Any = torch.cuda.Stream
        self._stream: torch.cuda.Stream | None = side(device) if device.type == "cuda" else None
        self._queue: deque[tuple[int, StoredTensor]] = deque()
        self._ahead: dict[StoredTensor, _Copy] = {}

    def expect(self, groups: Sequence[Sequence[StoredTensor]]) -> None:
        """Begin to copy the first groups."""
        self._ahead.clear()
        self._queue = deque((number, tensor) for number, group in enumerate(groups) for tensor in group)
        self._fill(0)

    def read(self, tensor: StoredTensor) -> Tensor:
        """Return a copy, and begin those of what comes next in the place of what was read or left out."""
        found = self._ahead.pop(tensor, None) or self._begun(-1, tensor)
        if found.group >= 0:
            self._ahead = {t: copy for t, copy in self._ahead.items() if copy.group >= found.group}
            self._fill(found.group)
        if found.done is not None:
            now = torch.cuda.current_stream(self.device)
            now.wait_event(found.done)
            found.tensor.record_stream(now)
        return found.tensor

    def _fill(self, group: int) -> None:
        held = sum(copy.tensor.nbytes for copy in self._ahead.values())
        while self._queue and (self._queue[0][0] <= group or held + self._queue[0][1].nbytes <= self._limit):
            number, tensor = self._queue.popleft()
            if number >= group and tensor not in self._ahead:
                self._ahead[tensor] = self._begun(number, tensor)
                held += tensor.nbytes

    def _begun(self, group: int, tensor: StoredTensor) -> _Copy:
        source = self._host.view(tensor)
        if self._stream is None:
            return _Copy(group, source.to(self.device, copy=True), None)
        with torch.cuda.stream(self._stream):
            made = torch.empty(source.shape, dtype=source.dtype, device=self.device)
            made.copy_(source, non_blocking=True)
        return _Copy(group, made, self._stream.record_event())
