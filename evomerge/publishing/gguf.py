"""llama.cpp's format, by llama.cpp's own converter where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from evomerge.errors import EvomergeError, shortened

GgufType = Literal["q8_0", "f16", "bf16", "f32"]
CONVERTER = "convert_hf_to_gguf.py"


class GgufError(EvomergeError):
    """llama.cpp's converter is not there, or could not convert a model."""


def converter(llama_cpp: Path | None = None) -> Path:
    """Return llama.cpp's converter: in its directory, or on PATH.

    Raises:
        GgufError: it is in neither.
    """
    found = shutil.which(CONVERTER) if llama_cpp is None else str(llama_cpp / CONVERTER)
    if found is None or not Path(found).is_file():
        where = "on PATH" if llama_cpp is None else f"in {llama_cpp}"
        raise GgufError(
            f"gguf: expected llama.cpp's {CONVERTER} {where}, found none: git clone "
            "https://github.com/ggml-org/llama.cpp, pip install gguf, and name the clone with --llama-cpp DIR"
        )
    return Path(found)


def to_gguf(model: Path, kind: GgufType, script: Path) -> Path:
    """Convert an exported model; return the file, beside the weights.

    Raises:
        GgufError: the converter failed; its last line says why. What was exported stays.
    """
    out = model / f"{model.name}-{kind}.gguf"
    command = [sys.executable, str(script), str(model), "--outtype", kind, "--outfile", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        out.unlink(missing_ok=True)
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
        raise GgufError(f"gguf: {script} could not convert {model}: {shortened(last.strip())}")
    return out
