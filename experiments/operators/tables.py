"""The table in Markdown, and the picture: means over seeds with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from experiments.operators.runs import ALONE, Row
from experiments.optimisers.figure import in_words, interval
from search_spaces import OPERATORS

# What papers claim: a setting, another that it is said to be ahead of, and in which mode they are compared.
CLAIMS: Sequence[tuple[str, str, str, str]] = (
    ("DELLA over DARE (Deep et al. 2024), density .3", "della, density .3", "dare_ties, density .3", "default"),
    ("DARE over TIES (Yu et al. 2024), density .3", "dare_ties, density .3", "ties, density .3", "default"),
    ("TIES over task arithmetic (Yadav et al. 2023)", "ties", "task_arithmetic", "tuned"),
    ("LiNeS over one scale (Wang et al. 2025)", "task_arithmetic, LiNeS", "task_arithmetic, one weight", "tuned"),
    ("TSV-M over task arithmetic (Gargiulo et al. 2025)", "tsv_m", "task_arithmetic", "tuned"),
    ("Iso-C over task arithmetic (Marczak et al. 2025)", "iso_c", "task_arithmetic", "tuned"),
    ("Iso-C over TSV-M (Marczak et al. 2025)", "iso_c", "tsv_m", "tuned"),
    ("STAR over TIES (Lee et al. 2025)", "star", "ties", "tuned"),
    ("SVC over plain task arithmetic (Li et al. 2026)", "task_arithmetic, SVC", "task_arithmetic", "default"),
    ("SVC over plain TIES (Li et al. 2026)", "ties, SVC", "ties", "default"),
    ("WUDI over TSV-M (Cheng et al. 2025)", "wudi", "tsv_m", "default"),
    ("RegMean++ over RegMean (Nguyen et al. 2025)", "regmean_plus", "regmean", "default"),
    ("Fisher over the mean (Matena and Raffel 2022)", "fisher", "linear", "default"),
)
REFERENCE = "task_arithmetic"  # differences are to it, as it comes or tuned alike, seed by seed


def cells(rows: Iterable[Row], family: str, setting: str, mode: str) -> dict[int, Row]:
    """Return seed -> row of one cell; failures are left out."""
    found = [r for r in rows if (r.family, r.setting, r.mode) == (family, setting, mode) and not r.failed]
    return {row.seed: row for row in found}


def test_values(rows: Iterable[Row], family: str, setting: str, mode: str) -> dict[int, float]:
    """Return seed -> macro-average on test items."""
    return {seed: row.test for seed, row in cells(rows, family, setting, mode).items()}


def differences(rows: Sequence[Row], family: str, setting: str, other: str, mode: str) -> list[float]:
    """Return what a setting is ahead of another, for every seed that both have."""
    mine, theirs = (test_values(rows, family, name, mode) for name in (setting, other))
    return [value - theirs[seed] for seed, value in sorted(mine.items()) if seed in theirs]


def markdown(rows: Sequence[Row], family: str) -> str:
    """Return a family's table in Markdown, best tuned operators first."""
    header = ("operator", "default", "tuned", "over tuned task arithmetic", "seconds, first", "seconds, later")
    lines = [_line(header), _line(("---", *["---:"] * 5))]
    return "\n".join([*lines, *(_line(_cells(rows, family, name)) for name in ordered(rows, family))]) + "\n"


def claims(rows: Sequence[Row], families: Sequence[str]) -> str:
    """Return in Markdown by how many points each claim holds on each family; empty where it was not tried."""
    lines = [("claim", *families), ("---", *["---:"] * len(families))]
    for words, setting, other, mode in CLAIMS:
        found = [differences(rows, family, setting, other, mode) for family in families]
        if any(found):
            lines.append((f"{words}, {mode}", *(in_words(each, sign="+") for each in found)))
    return "".join(f"{_line(line)}\n" for line in lines)


def ordered(rows: Sequence[Row], family: str) -> list[str]:
    """Return the settings that a family has rows of, best first, by the better of default and tuned."""

    def best(name: str) -> float:
        values = [test_values(rows, family, name, mode).values() for mode in ("default", "tuned")]
        return max((mean(each) for each in values if each), default=0.0)

    names = dict.fromkeys(row.setting for row in rows if row.family == family)
    return sorted(names, key=best, reverse=True)


def summary(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, object]]]:
    """Return operator -> family -> mean and interval in words of each mode, and seconds, for the operators' cards."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for family, name, mode in dict.fromkeys((row.family, row.setting, row.mode) for row in rows):
        values = list(test_values(rows, family, name, mode).values())
        if name in OPERATORS and values:
            here = found.setdefault(name, {}).setdefault(family, {})
            here[mode] = in_words(values)
            if seconds := _seconds(rows, family, name):
                here["seconds"] = seconds
    return dict(sorted(found.items()))


def _seconds(rows: Sequence[Row], family: str, name: str) -> tuple[float, float] | None:
    """Return processor seconds of the first merge and of later ones; None where they were not measured."""
    for row in cells(rows, family, name, "default").values():
        if row.first is not None and row.cached is not None:
            return row.first, row.cached
    return None


def _cells(rows: Sequence[Row], family: str, name: str) -> tuple[str, ...]:
    default, tuned = (in_words(list(test_values(rows, family, name, mode).values())) for mode in ("default", "tuned"))
    over = "" if name == REFERENCE else in_words(differences(rows, family, name, REFERENCE, "tuned"), sign="+")
    seconds = [f"{each:.2f}" for each in _seconds(rows, family, name) or ()] or ["", ""]
    why = any(row.failed for row in rows if (row.family, row.setting) == (family, name))
    return (_name(rows, family, name), default or ("failed" if why else ""), tuned, over, *seconds)


def _name(rows: Sequence[Row], family: str, name: str) -> str:
    if name == ALONE:
        return "*best expert alone*"
    label = f"[{name}](../../docs/operators.md#{name})" if name in OPERATORS else name
    merged = {row.experts for row in rows if (row.family, row.setting) == (family, name)}
    every = max(row.experts for row in rows if row.family == family)
    return label + (f" ({max(merged)} of {every})" if max(merged) < every else "")


def _line(found: Sequence[str]) -> str:
    return f"| {' | '.join(found)} |"


def draw(rows: Sequence[Row], families: Sequence[str], path: Path) -> None:
    """Write a panel for each family, a row per operator: hollow as it comes, filled tuned."""
    from matplotlib.figure import Figure

    order = ordered(rows, families[0])
    names = [name for name in order if name != ALONE]
    figure = Figure(figsize=(3 + 3.2 * len(families), 1.2 + 0.2 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for axes, family in zip(panels, families, strict=True):
        for mode, style in _STYLES.items():
            points = {
                n: interval([100 * v for v in values])
                for n in names
                if (values := list(test_values(rows, family, n, mode).values()))
            }
            axes.errorbar(
                [each.mean for each in points.values()],
                [names.index(name) for name in points],
                xerr=[0.0 if math.isnan(each.half_width) else each.half_width for each in points.values()],
                label={"default": "as it comes", "tuned": "tuned, 40 evaluations"}[mode],
                **style,
            )
        if alone := test_values(rows, family, ALONE, "default"):
            axes.axvline(100 * mean(alone.values()), color="black", linestyle=":", linewidth=1, label="best expert")
        axes.set(title=family, xlabel="mean of the tasks, test items (%)", xlim=(0, 100))
        axes.grid(alpha=0.3)
    panels[0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    panels[0].tick_params(axis="y", labelsize=7)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


_STYLES: Mapping[str, Mapping[str, object]] = {
    "default": {"fmt": "o", "color": "tab:orange", "markersize": 4, "markerfacecolor": "white", "capsize": 2},
    "tuned": {"fmt": "o", "color": "tab:blue", "markersize": 4, "capsize": 2},
}
