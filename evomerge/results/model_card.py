"""The model card of an exported merge: what it is, what it scores on held-out items, how to make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from evomerge.archive import Archive
from evomerge.archive.campaign_text import campaign_settings
from evomerge.candidate import Candidate
from evomerge.content import content_of
from evomerge.results.card_metadata import NOTHING, Inherited, front_matter
from evomerge.results.local_paths import public, without_directories, yaml_without_directories
from evomerge.results.recorded import campaign_name, recorded_versions
from evomerge.results.selected import observed
from evomerge.results.verification.benchmark_test_sets import noted_used
from evomerge.results.verification.final import FinalLook
from evomerge.results.verification.result import Verification
from evomerge.visible import visible
from fitness.costs import shown, shown_error, titled
from fitness.scores import SPLITS, ObjectiveEstimate
from search_spaces.recipes.layer_path import path_text, scales_text
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.recipe import RECIPE_FILE, Recipe, layer_range
from search_spaces.recipes.rule import Parameter, Rule, Where

USAGE = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("MODEL", dtype="auto", device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("MODEL")
inputs = tokenizer("Hello", return_tensors="pt").to(model.device)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0], skip_special_tokens=True))
"""
DESCENT = "descent.json"  # beside the weights of a parent that a descent made: how
_MOST_BYTES = 2**24  # of a parent's own recipe


def model_card(
    archive: Archive,
    candidate: Candidate,
    verification: Verification | None,
    *,
    name: str | None = None,
    licence: str | None = None,
    mergekit_yaml: str | None = None,
    taken_over: Inherited = NOTHING,
) -> str:
    """Return the README.md of an exported candidate.

    Without a name it has the campaign's; without a licence, by its hub identifier, what its parents' cards say
    (`taken_over`). `mergekit_yaml` is the same recipe for mergekit, where that can express it. Files of this machine
    have their last names.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    settings = campaign_settings(archive.campaign)
    recipe = public(candidate.recipe)
    records = archive.records("search")
    table = verification if verification and _is_in(candidate, verification) else None
    picked = table.winner_of(candidate.number) if table else None
    models = [recipe.parents[parent].model for parent in (*parents_of(recipe), recipe.base)]
    results = next(row for row in table.rows if row.candidate == candidate.number) if table else None
    metadata = front_matter(
        models, taken_over if licence is None else Inherited(licence), name or campaign_name(archive), results
    )
    # Markdown, not HTML: `cell` escapes what Markdown and the HTML inside it would interpret.
    environment = Environment(
        loader=PackageLoader("evomerge.results", "."),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": cell,
        "titled": lambda o: titled(o.name, o.cost),
        "measured": lambda o: shown(o.value, o.cost),
        "error": lambda o: shown_error(o.stderr, o.cost),
    }
    environment.globals["fenced"] = fenced
    card = environment.get_template("card.md.jinja").render(
        front_matter=metadata,
        licence_note=taken_over.note if licence is None else "",
        usage=USAGE,
        name=name or f"{settings.get('name') or 'campaign'}: {candidate.label or f'candidate {candidate.number}'}",
        number=candidate.number,
        parents=parents_of(recipe),
        is_landmark=candidate.proposal is None,
        verdict=_verdict(candidate, verification),
        final=_final_lines(candidate, FinalLook.noted(archive, damaged="skip")),
        rows=table.rows if table else (),
        facts=picked.facts if picked else (),
        picks=picked.picks if picked else (),
        verification_number=table.number if table else 1,
        test_sets=noted_used(archive),
        read=_read(archive, recipe),
        objectives=[titled(o.name, o.cost) for o in table.rows[0].objectives] if table else (),
        search=_search_scores(archive, candidate.number),
        recipe=recipe,
        path=path_text(recipe),
        scales=scales_text(recipe),
        rules=[_in_words(rule) for rule in recipe.rules] + ([_in_segments(recipe.pieces)] if recipe.pieces else []),
        recipe_json=json.dumps(recipe.to_dict(), indent=2, ensure_ascii=False),
        merges=_merges_among(candidate.recipe),
        learnt=_learnt_among(candidate.recipe),
        optimiser=_optimiser(settings),
        evaluations=len(records),
        failures=sum(record.estimate is None for record in records),
        items=_items(archive, [candidate, *archive.landmarks()]),
        mergekit_yaml=mergekit_yaml and yaml_without_directories(mergekit_yaml),
        campaign=yaml_without_directories(archive.campaign.strip()),
        versions=", ".join(f"{cell(k)} {cell(v)}" for k, v in recorded_versions(archive).items()),
    )
    return visible(card)


def cell(text: object) -> str:
    """Return text that stays one line and one table cell, and that Markdown shows as it is."""
    line = " ".join(str(text).split())
    return re.sub(
        r"([\\`*_\[\]<>|&#~])", lambda found: f"&#{ord(found[0])};" if found[0] in "<>&|" else f"\\{found[0]}", line
    )


def fenced(text: str, language: str) -> str:
    """Return text as a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _merges_among(recipe: Recipe) -> dict[str, str]:
    """Return parent -> its own recipe as JSON, of parents that were merged by evomerge."""
    return _beside(recipe, RECIPE_FILE)


def _learnt_among(recipe: Recipe) -> dict[str, str]:
    """Return parent -> how it was learnt, as JSON, of parents that a descent made."""
    return _beside(recipe, DESCENT)


def _beside(recipe: Recipe, file: str) -> dict[str, str]:
    """Return parent -> a text beside its weights, of parents that have it; what cannot be read is not evomerge's."""
    used = {*parents_of(recipe), recipe.base}
    files = {name: Path(source.model) / file for name, source in recipe.parents.items() if name in used}
    return {name: _public_json(text) for name, path in files.items() if (text := _text(path)) is not None}


def _public_json(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return str(without_directories(text))
    cleaned = without_directories(data)
    return text if cleaned == data else json.dumps(cleaned, indent=2, ensure_ascii=False)


def _text(file: Path) -> str | None:
    try:
        return content_of(file, _MOST_BYTES).decode()
    except (OSError, ValueError):
        return None


def parents_of(recipe: Recipe) -> list[str]:
    """Return the names of the parents that are merged, in the order of the rules."""
    named = [source.parent for rule in recipe.rules for source in rule.inputs]
    return list(dict.fromkeys([*named, *(recipe.pieces.parents if recipe.pieces else ())]))


def _is_in(candidate: Candidate, verification: Verification) -> bool:
    return any(row.candidate == candidate.number for row in verification.rows)


def _verdict(candidate: Candidate, verification: Verification | None) -> str:
    if verification is None:
        return (
            "Not verified: no held-out items have been scored, so nothing is known of it beyond the items searched on."
        )
    picked = verification.winner_of(candidate.number)
    if picked is not None:
        return picked.verdict
    if candidate.number == verification.winner:
        return verification.verdict
    if _is_in(candidate, verification):
        return f"This is not the candidate that validation items picked. Of the one they picked: {verification.verdict}"
    return "Not verified: other candidates of this campaign were scored on held-out items, this one was not."


def _final_lines(candidate: Candidate, look: FinalLook | None) -> tuple[str, ...]:
    return look.lines if look is not None and look.candidate == candidate.number else ()


def _search_scores(archive: Archive, number: int) -> tuple[ObjectiveEstimate, ...]:
    found = observed(archive).get(number)
    return () if found is None else found.objectives


def _in_words(rule: Rule) -> Mapping[str, str]:
    inputs = [_with_parameters(source.parent, source.parameters) for source in rule.inputs]
    operator = _with_parameters(rule.operator, rule.parameters)
    return {"where": _where(rule.where), "operator": operator, "inputs": "; ".join(inputs)}


def _in_segments(pieces: Pieces) -> Mapping[str, str]:
    inputs = [
        f"{parent} (mean weight {share:.3g})" for parent, share in zip(pieces.parents, pieces.shares, strict=True)
    ]
    return {
        "where": "everything",
        "operator": f"linear, other weights in each of {len(pieces.coefficients)} segments of the parameters",
        "inputs": "; ".join(inputs),
    }


def _with_parameters(name: str, parameters: Mapping[str, Parameter]) -> str:
    words = {k: f"{v:.4g}" if isinstance(v, float) else str(v).lower() for k, v in parameters.items()}
    order = sorted(words, key=lambda key: (key != "weight", key != "density", key))
    return f"{name} ({', '.join(f'{key} {words[key]}' for key in order)})" if words else name


def _where(where: Where) -> str:
    layers = layer_range(*where.layers) if where.layers else ""
    side = f"{where.side} the layers" if where.side else ""
    named = f'names with "{where.contains}"' if where.contains else ""
    return ", ".join(part for part in (layers, side, where.module or "", named) if part) or "everything"


def _optimiser(settings: Mapping[str, object]) -> str:
    found = settings.get("optimiser")
    kind = found.get("kind") if isinstance(found, Mapping) else None
    seed = settings.get("seed")
    return f"Optimiser {cell(kind or 'not recorded')}" + (f" (seed {cell(seed)})" if seed is not None else "")


def _read(archive: Archive, recipe: Recipe) -> list[str]:
    """Return what each parent read for the statistics that the recipe names, in words."""
    noted = archive.parsed("statistics", lambda text: dict(json.loads(text).get("read", {})), damaged="skip") or {}
    return [f"{parent} {noted[parent]}" for parent in recipe.statistics if parent in noted]


def _items(archive: Archive, candidates: list[Candidate]) -> str:
    """Return how many items each split has, by the first of the candidates that was scored there."""
    counts = {}
    for split in SPLITS:
        found = next((s for c in candidates if (s := archive.scores(c.number, split)) is not None), None)
        if found is not None:
            counts[split] = len(found.item_ids)
    return ", ".join(f"{n} {split}" for split, n in counts.items())
