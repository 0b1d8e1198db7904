"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evomerge.tracking.protocol import Subject


class TensorBoardFiles:
    """Event files in `tensorboard` of the run directory; `tensorboard --logdir RUN/tensorboard` shows them."""

    def __init__(self, subject: Subject) -> None:
        """Begin a file."""
        import yaml
        from torch.utils.tensorboard import SummaryWriter

        self._directory = subject.directory / "tensorboard"
        self._writer = SummaryWriter(str(self._directory), filename_suffix=f".{subject.key}")
        text = yaml.safe_dump(dict(subject.settings), sort_keys=False)
        self._writer.add_text("campaign", "\n".join(f"    {line}" for line in text.splitlines()))

    @property
    def place(self) -> str:
        """Its directory."""
        return f"{self._directory} (tensorboard --logdir DIR shows it)"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """Log a table, as text."""
        lines = [columns, ["---"] * len(columns), *rows]
        self._writer.add_text(name, "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "&#124;")
