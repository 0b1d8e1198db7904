"""The committed pages are what their sources make."""

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[4]
BUILT = ROOT / "evomerge" / "results" / "pages" / "built"


def test_the_built_pages_are_those_of_these_sources() -> None:
    web = ROOT / "web"
    names = ["package-lock.json", "build.mjs", "tsconfig.json"]
    names += [str(file.relative_to(web)) for file in (web / "src").rglob("*") if file.is_file()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + b"\0" + (web / name).read_bytes())
    assert (BUILT / "sources").read_text().strip() == digest.hexdigest(), "run `make studio` and commit what it builds"


def test_the_pages_ask_nothing_of_other_sites_and_fit_into_an_offline_report() -> None:
    page = (BUILT / "index.html").read_text()
    assert "//" not in page.replace("<!doctype html>", "")
    assert sum(file.stat().st_size for file in BUILT.iterdir()) < 1_000_000
