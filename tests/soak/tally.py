"""What was tried and what survived, per kind of fault."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field


class SkippedError(Exception):
    """This machine cannot do what a fault needs."""


@dataclass
class Tally:
    """Counts, and what did not survive."""

    tried: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind, signal) that met a live process
    skipped: dict[str, str] = field(default_factory=dict)
    lost: list[dict[str, object]] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(n for (_, name), n in self.sent.items() if name == "SIGKILL")

    def table(self) -> str:
        lines = ["| fault | rounds | survived | signals that met a live process |", "|---|---:|---:|---|"]
        for kind in self.tried:
            signals = ", ".join(f"{n} {name}" for (of, name), n in sorted(self.sent.items()) if of == kind)
            lines.append(f"| {kind} | {self.tried[kind]} | {self.survived[kind]} | {signals} |")
        total = Counter[str]()
        for (_, name), n in self.sent.items():
            total[name] += n
        signals = ", ".join(f"{n} {name}" for name, n in sorted(total.items()))
        lines.append(f"| **all** | {self.tried.total()} | {self.survived.total()} | {signals} |")
        lines += [f"\n{kind}: skipped, {why}" for kind, why in self.skipped.items()]
        return "\n".join(lines)

    def to_json(self) -> str:
        sent: dict[str, dict[str, int]] = {}
        for (kind, name), n in self.sent.items():
            sent.setdefault(kind, {})[name] = n
        found = {"tried": self.tried, "survived": self.survived, "sent": sent}
        return json.dumps({**found, "kills": self.kills, "skipped": self.skipped, "lost": self.lost}, indent=2) + "\n"
