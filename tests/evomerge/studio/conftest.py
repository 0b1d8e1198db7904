from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evomerge.archives import make_archive, verification
from tests.evomerge.studio.served import Studio, studio


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one verified with failures, one of three objectives. Read-only, but for notes."""
    root = tmp_path_factory.mktemp("runs")
    for name, options in (("verified", {"failures": (3, 9)}), ("three", {"objectives": 3})):
        (root / name).mkdir()
        archive = make_archive(root / name / "archive.sqlite", **options)
        if name == "verified":
            archive.note("verification", verification().to_json())
        archive.close()
    return root


@pytest.fixture(scope="session")
def served(runs: Path) -> Iterator[Studio]:
    with studio([runs]) as found:
        yield found
