import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from evomerge.archive import Archive
from evomerge.results.card_metadata import inherited
from evomerge.results.local_paths import public
from evomerge.results.model_card import cell, fenced, model_card
from search_spaces.recipes.recipe import ParentSource, Recipe
from tests.evomerge.archives import CAMPAIGN, landmarks, make_archive, verification, with_winners


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(tmp_path_factory.mktemp("run") / "a.sqlite", proposals=60, failures=(3,))


def front_matter(card: str) -> dict:
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_the_front_matter_names_hub_models_only(archive: Archive) -> None:
    found = front_matter(model_card(archive, archive.candidate(60), None))
    assert found == {
        "library_name": "transformers",
        "tags": ["merge", "mergekit", "evomerge"],
        "base_model": ["org/arithmetic", "org/dates", "org/base"],  # words is a directory
        "base_model_relation": "merge",
    }
    assert front_matter(model_card(archive, archive.candidate(60), None, licence="mit"))["license"] == "mit"


def test_the_winner_has_the_held_out_table_with_intervals(archive: Archive) -> None:
    card = model_card(archive, archive.candidate(60), verification())
    assert "**Candidate 60 beats the best parent (arithmetic)" in card
    assert (
        "| **candidate 60** (this model) | 0.655 ± 0.021 | 0.675 ± 0.021 | 0.655 | +0.145 (+0.095 to +0.195) |\n"
        in card
    )
    assert "| arithmetic | 0.510 ± 0.021 | 0.530 ± 0.021 | 0.510 | reference |\n" in card
    assert "search items" not in card


def test_a_candidate_that_does_not_win_says_so(archive: Archive) -> None:
    card = model_card(archive, archive.candidate(60), verification(wins=False))
    assert "**No candidate is shown to beat the best parent" in card


@pytest.mark.parametrize(
    ("number", "verified", "says"),
    [
        (60, False, "**Not verified: no held-out items have been scored"),
        (61, True, "**Not verified: other candidates"),
        (48, True, "**This is not the candidate that validation items picked"),
    ],
)
def test_the_verdict_is_never_another_candidates(archive: Archive, number: int, verified: bool, says: str) -> None:
    card = model_card(archive, archive.candidate(number), verification() if verified else None)
    assert says in card
    assert ("On **search items**" in card) == (number != 48)


def test_it_tells_how_it_was_found_and_how_to_make_it_again(archive: Archive) -> None:
    candidate = archive.candidate(60)
    card = model_card(archive, candidate, None, mergekit_yaml="merge_method: ties\n")
    assert "Optimiser nsga2 (seed 7), 65 evaluations, 1 of them failed; this is candidate 60." in card
    assert "Items per split: 240 search." in card
    assert "```yaml\nmerge_method: ties\n```" in card
    assert f"```yaml\n{CAMPAIGN}```" in card
    assert Recipe.from_json(card.split("```json\n")[1].split("\n```")[0]) == public(candidate.recipe)


def test_only_what_the_search_proposed_was_found_by_it(archive: Archive) -> None:
    found = "found by an evolutionary search"
    assert found in model_card(archive, archive.candidate(60), None)
    for landmark in archive.landmarks():
        card = model_card(archive, landmark, None)
        assert found not in card
        assert "made with evomerge by a recipe that stood before the search began." in card


def test_a_candidate_without_scores_has_a_card(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    archive.asked(landmarks(), None)
    card = model_card(archive, archive.candidate(4), None)
    assert "# campaign: default TIES" in card
    assert "This candidate has no recorded scores." in card
    assert "campaign.yaml" not in card


@pytest.mark.parametrize("content", [b"\xff\xfe\x80", None])
def test_a_file_beside_a_parent_that_is_no_text_is_no_recipe_of_it(tmp_path: Path, content: bytes | None) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    [first, *_] = landmarks()
    sources = {name: ParentSource(str(tmp_path / name)) for name in first.recipe.parents}
    for name in sources:
        (tmp_path / name).mkdir()
        if content is None:
            os.mkfifo(tmp_path / name / "recipe.json")
        else:
            (tmp_path / name / "recipe.json").write_bytes(content)
    candidate = replace(first, recipe=replace(first.recipe, parents=sources))
    archive.asked([candidate], None)
    assert "is a merge itself" not in model_card(archive, candidate, None)


def test_cells_stay_in_their_cell() -> None:
    assert cell("a | b\n<script>*c*") == r"a &#124; b &#60;script&#62;\*c\*"


def test_a_fence_is_longer_than_any_run_of_backticks_inside() -> None:
    assert fenced("a ```` b", "yaml") == "`````yaml\na ```` b\n`````"


def test_a_winners_card_says_what_the_report_says_of_it(archive: Archive) -> None:
    found = with_winners(verification(), "better", "not_shown")
    for winner in found.winners:
        card = model_card(archive, archive.candidate(winner.candidate), found)
        assert f"**{cell(winner.verdict)}**" in card
        assert all(f"- {cell(fact)}\n" in card for fact in winner.facts)
        others = [other.verdict for other in found.winners if other != winner]
        assert not any(cell(verdict) in card for verdict in others)


def test_verified_scores_are_the_hubs_evaluation_results(archive: Archive) -> None:
    [index] = front_matter(model_card(archive, archive.candidate(60), verification()))["model-index"]
    assert [(one["dataset"]["name"], one["metrics"][0]["value"]) for one in index["results"]] == [
        ("arithmetic (held-out items)", 0.655),
        ("words (held-out items)", 0.675),
    ]
    assert "model-index" not in front_matter(model_card(archive, archive.candidate(60), None))


def test_licences_data_sets_and_languages_are_the_parents(archive: Archive) -> None:
    one = "---\nlicense: mit\ndatasets: [org/a]\nlanguage: en\n---\n"
    other = "---\nlicense: apache-2.0\ndatasets: [org/a, org/b]\nlanguage: [en, sv]\n---\n"
    same, differ = inherited({"a": one, "b": one, "c": None}), inherited({"a": one, "b": other})
    assert (same.licence, same.note) == ("mit", "No licence is known of c.")
    card = model_card(archive, archive.candidate(60), None, taken_over=differ)
    found = front_matter(card)
    assert (found["license"], found["datasets"], found["language"]) == ("other", ["org/a", "org/b"], ["en", "sv"])
    assert "The parents' licences differ (a mit, b apache-2.0)" in card
