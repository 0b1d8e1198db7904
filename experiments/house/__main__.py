"""Print the size and shape of the source: files, lines, code lines, circles, what faces show and lead to.

    python -m experiments.house [ROOT]

A second's work. Expected: no circles, at most 34,500 lines in all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.house.imports import Sources, circles, reachable
from experiments.house.lines import n_code_lines

PACKAGES = ("evomerge", "fitness", "search_spaces")


def measures(sources: Sources) -> dict[str, object]:
    """Return the measures of some modules, as they are printed.

    "reachable" counts the modules that a face, one that shows a name, leads to, itself included.
    """
    texts = [file.read_text(encoding="utf-8") for file in sources.files.values()]
    imports = sources.imports()
    faces = {name: n for name in sources.files if sources.is_face(name) and (n := len(sources.public_names(name)))}
    return {
        "files": len(texts),
        "lines": sum(text.count("\n") for text in texts),
        "code lines": sum(map(n_code_lines, texts)),
        "longest file": max(text.count("\n") for text in texts),
        "faces": len(faces),
        "public names": sum(faces.values()),
        "reachable": len(reachable(imports, list(faces)) | faces.keys()),
        "names per face": faces,
        "file circles": circles(imports),
        "folder circles": circles(sources.rooms(imports)),
    }


def main() -> None:
    """Print a table of the three packages and of all, then the circles and the faces."""
    parser = argparse.ArgumentParser(description="Print the size and shape of the source.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[2])
    root = parser.parse_args().root
    everything = measures(Sources.read(root, PACKAGES))
    columns = {package: measures(Sources.read(root, (package,))) for package in PACKAGES} | {"all": everything}
    print(f"{'':16}" + "".join(f"{name:>16}" for name in columns))
    for measure, found in everything.items():
        if isinstance(found, int):
            print(f"{measure:16}" + "".join(f"{column[measure]:>16}" for column in columns.values()))
    for measure in ("file circles", "folder circles"):
        found = everything[measure]
        assert isinstance(found, list)
        print(f"\n{measure}: {len(found)}")
        for circle in found:
            print("  " + " <-> ".join(circle))
    print("\nnames per face:")
    faces = everything["names per face"]
    assert isinstance(faces, dict)
    for face, n in faces.items():
        print(f"  {face:32}{n:>4}")


if __name__ == "__main__":
    main()
