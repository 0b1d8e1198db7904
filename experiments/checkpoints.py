"""Model directories that are either whole or absent, so that a killed training leaves no half cache."""

import shutil
import tempfile
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin


def is_finished(directory: Path) -> bool:
    """Say whether `directory` holds a checkpoint that `save_checkpoint` completed."""
    return (directory / "config.json").is_file()


def save_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | ProcessorMixin, directory: Path
) -> None:
    """Write safetensors, config and tokenizer (or processor) beside `directory`, then rename them into place at once.

    Raises:
        FileExistsError: `directory` already exists (a finished checkpoint is never overwritten).
    """
    if directory.exists():
        raise FileExistsError(f"{directory} already exists; remove it to train this model again")
    directory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.chmod(0o755)  # mkdtemp makes it private
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
