import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from evomerge.api.doctor import OPTIONAL, TESTED, Finding, doctor, package_finding, verdict

ROOT = Path(__file__).parents[3]


def pinned(file: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_the_tested_versions_are_those_that_make_installs() -> None:
    versions = pinned("constraints.txt")
    assert {name: versions[name] for name in TESTED} == TESTED


def test_every_requirement_has_a_tested_version_and_its_lower_bound_is_the_oldest_that_was_tested() -> None:
    required = [Requirement(text) for text in metadata.requires("evomerge") or []]
    users = [r for r in required if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in OPTIONAL)]
    oldest = {name: Version(version) for name, version in pinned("constraints-oldest.txt").items()}
    bounds = {canonicalize_name(r.name): Version(str(r.specifier).removeprefix(">=")) for r in users}
    assert bounds == oldest
    assert set(bounds) == set(TESTED)


@pytest.mark.parametrize(
    ("requirement", "tested", "status", "advice"),
    [
        ("pydantic>=2", "9999.1", "ok", ""),
        ("pydantic>=2", None, "ok", ""),
        ("pydantic>=9999", "9999.1", "warn", "evomerge needs >=9999: pip install 'pydantic>=9999'"),
        ("pydantic>=2", "2.0.1", "warn", "newer than 2.0.1, the newest that was tested"),
        ("no-such-package>=1", None, "missing", "pip install 'no-such-package>=1'"),
    ],
)
def test_a_package_is_compared_with_what_is_needed_and_tested(
    requirement: str, tested: str | None, status: str, advice: str
) -> None:
    finding = package_finding(Requirement(requirement), tested)
    assert (finding.status, finding.advice) == (status, advice)


def test_a_missing_package_of_an_extra_is_no_fault_and_its_command_is_told() -> None:
    finding = package_finding(Requirement('no-such-package>=1; extra == "ray"'), None, "ray")
    assert (finding.status, finding.advice) == ("ok", "optional: pip install 'evomerge[ray]'")


def test_the_doctor_looks_at_python_packages_and_the_machine(tmp_path: Path) -> None:
    findings = {finding.subject: finding for finding in doctor(tmp_path)}
    assert {"python", "torch", "cpu", "memory", "disk"} <= set(findings)
    assert findings["torch"].found.startswith(metadata.version("torch"))
    assert re.match(r"\d+ cores; (float32|bfloat16) multiplies \d+\.\dx as fast as ", findings["cpu"].found)
    assert str(tmp_path) in findings["disk"].found


CPU = Finding("cpu", "ok", "2 cores; float32 multiplies 1.5x as fast as bfloat16")
MEMORY = Finding("memory", "ok", "24.0 GiB free", free_bytes=24 * 2**30)
NO_RAY = Finding("ray", "ok", "not installed", "optional: pip install 'evomerge[ray]'")
GPUS = [Finding(f"gpu {i}", "ok", "NVIDIA H100, 80 GiB", gpu_bytes=80 * 2**30) for i in range(8)]


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        (
            [CPU, MEMORY],
            "Ready: 2 cores and 24 GiB of free memory, for models up to about 3B in float32 a worker; next: evomerge "
            "init MODEL MODEL.",
        ),
        (
            [CPU, MEMORY, NO_RAY, *GPUS],
            "Ready: 8 GPUs of 80 GiB, for models up to about 20B in bfloat16 a worker; for all GPUs pip install "
            "'evomerge[ray]'.",
        ),
        (
            [Finding("torch", "warn", "9.0", "newer"), CPU, Finding("memory", "ok", "", free_bytes=2**30)],
            "Ready, though torch may not work as tested: 2 cores and 1 GiB of free memory, for models up to about 100M "
            "in float32 a worker; next: evomerge init MODEL MODEL.",
        ),
        (
            [Finding("torch", "missing", "not installed", "pip install 'torch>=2'"), CPU, MEMORY],
            "Not ready: torch is not installed; pip install 'torch>=2', then ask again.",
        ),
    ],
)
def test_it_ends_in_a_sentence_that_says_what_the_machine_is_good_for_and_what_to_do(
    findings: list[Finding], sentence: str
) -> None:
    assert verdict(findings) == sentence
