"""The operators' manual, made from their docstrings and rows in the registry.

`python -m docs.operator_cards` writes docs/operators.md anew; a test tells when that was forgotten.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search_spaces.operators.catalogue.shared import COMPOSING, LINES
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Kind, Real, Whole
from search_spaces.operators.registry import FAMILIES

MANUAL = Path(__file__).parent / "operators.md"
TABLE = Path(__file__).parents[1] / "experiments" / "operators"

_PREFACE = """\
# Operators

Every merge method that recipes, `evomerge merge` and campaigns know, by the name that they use. This page is made from
the code by `python -m docs.operator_cards`. An operator from another package is named by the dotpath of its
row, `package.module:OPERATOR`, or by an entry point of the group `evomerge.operators`.

θᵢ are the parents' weights, θ₀ the base's, δᵢ = θᵢ - θ₀ the task vectors and wᵢ the weights. Operators that need a base
merge the task vectors to τ, and the result is θ = θ₀ + gain·τ. Arithmetic is float32, rounded once at the end. Random
masks depend on the recipe's seed, the operator, the parent and the tensor's name alone.

In a campaign, `space.genes` gives a parameter bounds `[low, high]` or a list of choices to search, or one value that
freezes it; parameters of each parent may also have one such entry per parent. What a campaign searches when it says
nothing is marked **searched**; otherwise the default holds. "not mergekit" marks what mergekit's YAML cannot say.

## After every merge of task vectors

gain = λ·(α + β·x) with `lambda` λ and LiNeS over the depth: `lines_alpha` α and `lines_beta` β, x running from 0 at the
first layer to 1 at the last; what lies outside the layers has x = 0, but for `lines_head: end`, with which final norm
and head have x = 1. The default is no scaling. α and β have one gene for the whole model; `space.whole_model: [lambda]`
makes λ global too, else it is a scale of each group. (Wang et al. 2025, arXiv 2410.17146.)

## Around every merge of task vectors

Three more parameters compose with every operator that needs a base; by default they do nothing, and cost nothing.

- CART: `centre: mean` measures task vectors from the mean of the parents instead of the base, and `cart_rank_share` in
  (0, 1], quantised, [0.02, 1] in a search, keeps a share of the singular components of each, in matrices of the layers.
  With equal weights and no cut the task vectors from a mean cancel, and the merge is the mean. AdaRank uses 0.16 with λ
  = 2.3. With either, `scope: global` is refused. (Choi et al. 2024, arXiv 2412.12153.)
- SVC: `svc_alpha` α above 0, [0.5, 2] in a search, scales the r-th singular value of the merged task vector, before the
  gain, by N / Σ max(α, sᵢᵣ), where sᵢᵣ is how often the merge says what the i-th of N parents says along its r-th left
  singular vector: 1 removes what was added up more than once. It takes a decomposition of each matrix for every
  candidate. (Li et al. 2026, arXiv 2602.05536.)
"""


Measured = Mapping[str, Mapping[str, Mapping[str, Any]]]  # operator -> family -> mode or "seconds" -> what is shown

_MEASURED = """\
## What they score

Means of the tasks on held-out items in percent, with 95 % intervals over seeds: as an operator comes and, in the second
column, with its own genes tuned by 40 evaluations, one set for the whole model. Seconds are processor seconds of the
first merge of the first family's models and of later ones. The families, what has no default, papers' claims and how to
run it again: `experiments/operators/README.md`.
"""


def manual() -> str:
    """Return the whole page as Markdown."""
    measured = json.loads((TABLE / "summary.json").read_text(encoding="utf-8"))
    parts = [_PREFACE, _contents()]
    for family, operators in FAMILIES.items():
        parts += [f"## {family}\n", *(_card(operator, measured) for operator in operators)]
    parts += _table(measured) if measured else ()
    return "\n".join(parts)


def _contents() -> str:
    lines = [
        f"- {family}: " + ", ".join(f"[{o.name}](#{o.name})" for o in operators)
        for family, operators in FAMILIES.items()
    ]
    return "## All operators\n\n" + "\n".join(lines) + "\n"


def _card(operator: Operator, measured: Measured) -> str:
    text = inspect.cleandoc(operator.function.__doc__ or "")
    rows = [*_rows(operator.input_parameters, "each parent"), *_rows(operator.parameters, "the merge")]
    table = ["| parameter | of | legal | default | search range | meaning |", "|---|---|---|---|---|---|", *rows]
    return "\n".join(
        [
            f"### {operator.name}\n",
            f"{_facts(operator)}\n",
            f"{text}\n",
            *([f"**Mind its defaults:** {operator.caution}.\n"] if operator.caution else []),
            *_link(operator.name, measured),
            *(table if rows else []),
            "",
        ]
    )


def _link(name: str, measured: Measured) -> Iterator[str]:
    if name in measured:
        yield f"[What it scores](#measured-{name}) beside the others.\n"


def _table(measured: Measured) -> Iterator[str]:
    """Yield what `python -m experiments.operators` measured: a row for each operator."""
    families = list(dict.fromkeys(family for found in measured.values() for family in found))
    yield _MEASURED
    yield "| operator | " + " | ".join(f"{family} | tuned" for family in families) + " | seconds |"
    yield "|---|" + "---:|---:|" * len(families) + "---:|"
    for name, found in measured.items():
        cells = [str(found.get(family, {}).get(mode, "")) for family in families for mode in ("default", "tuned")]
        seconds = next((each["seconds"] for each in found.values() if "seconds" in each), ())
        row = [f'<a id="measured-{name}"></a>[{name}](#{name})', *cells, ", ".join(f"{s:.2f}" for s in seconds)]
        yield f"| {' | '.join(row)} |"
    yield ""


def _facts(operator: Operator) -> str:
    fewest, most = operator.n_inputs
    count = f"{fewest}" if fewest == most else f"{fewest} or more" if most is None else f"{fewest} to {most}"
    on_deltas = "with `deltas`" if "deltas" in operator.parameters else "not read"
    facts = [
        f"Parents: {count}{', in order' if operator.ordered else ''}",
        f"base: {'needed' if operator.needs_base else on_deltas}",
        "in mergekit" if operator.in_mergekit else "not in mergekit",
        *(["reads statistics: " + ", ".join(operator.statistics)] if operator.statistics else []),
    ]
    return "; ".join(facts) + "."


def _rows(kinds: Mapping[str, Kind], whose: str) -> Iterator[str]:
    for name, kind in kinds.items():
        if name in LINES or name in COMPOSING:
            continue
        cells = (f"`{name}`", whose, _words(str(kind)), _default(kind), _range(kind), _meaning(kind))
        yield f"| {' | '.join(cells)} |"


def _default(kind: Kind) -> str:
    if kind.default is None:
        return "none: must be given"
    return f"{kind.default:g}" if isinstance(kind, Real | Whole) else _words(str(kind.default).lower())


def _range(kind: Kind) -> str:
    if kind.gene is None:
        return "-"
    if isinstance(kind, Real | Whole):
        low, high = kind.gene
        found = f"[{low:g}, {high:g}]" + (", log" if isinstance(kind, Real) and kind.scale == "log" else "")
    else:
        found = "any"
    return f"{found}{', **searched**' if kind.searched else ''}"


def _meaning(kind: Kind) -> str:
    return _words(kind.meaning) + ("" if kind.in_mergekit else " (not mergekit)")


def _words(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    MANUAL.parent.mkdir(exist_ok=True)
    MANUAL.write_text(manual(), encoding="utf-8")
