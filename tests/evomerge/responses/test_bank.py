"""Banks of other projects: what is read, what is matched, and what is refused in one message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evomerge.responses.bank import CampaignItems, match, read_bank
from evomerge.responses.files import read_matrix
from fitness.errors import FitnessError
from fitness.tasks.contents import content, digest_of
from tests.evomerge.responses.bank_files import asked, write_parameters, write_results, write_samples

N = 12
SCORES = (np.random.default_rng(0).random((11, N)) < 0.6).astype(np.float64)
SCORES[2, 5] = np.nan
NUMBERED = CampaignItems(tuple(f"arc/{i}" for i in range(N)), {}, {"arc": "acc"})


def of(items: CampaignItems, said: str | Path) -> np.ndarray:
    """What a bank says of a campaign's items."""
    return match(read_bank(str(said)), items).matrix(items).scores


@pytest.mark.parametrize("form", ["samples", "results", "matrix", "pandas"])
def test_every_form_of_answers_gives_one_matrix(form: str, tmp_path: Path) -> None:
    path = tmp_path / "bank"
    if form == "samples":
        write_samples(path, SCORES, "arc", [asked(f"Question {i}", "ab", i) for i in range(N)])
    elif form == "results":
        path = write_results(tmp_path / "bank.parquet", SCORES, "arc", range(N))
    else:
        names = [f"arc/{i}" for i in range(N)] if form == "matrix" else [str(i) for i in range(N)]
        rows = [",".join([f"m{m}", *("" if np.isnan(v) else f"{v:g}" for v in row)]) for m, row in enumerate(SCORES)]
        path = tmp_path / "bank.csv"
        path.write_text("\n".join([",".join(["model" if form == "matrix" else "", *names]), *rows]) + "\n")
    np.testing.assert_array_equal(of(NUMBERED, path), SCORES)


@pytest.mark.parametrize(
    "columns",
    [
        {"model": "model", "item": "question_id", "score": "is_correct"},
        {"task": "benchmark", "item": "id", "score": "score"},
        {"model": "model_id", "task": "subset", "score": "exact_match"},
    ],
)
def test_a_leaderboards_columns_are_found_by_their_names(columns: dict[str, str], tmp_path: Path) -> None:
    path = write_results(tmp_path / "x.parquet", SCORES, "arc", range(N), **columns)
    np.testing.assert_array_equal(of(NUMBERED, path), SCORES)


def test_the_measure_is_the_campaigns_own(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "bank", SCORES, "arc", [asked(f"Question {i}", "ab", i) for i in range(N)])
    norm = CampaignItems(tuple(f"arc:acc_norm/{i}" for i in range(N)), {}, {"arc:acc_norm": "acc_norm"})
    np.testing.assert_array_equal(of(norm, path), 1.0 - SCORES)
    other = CampaignItems(NUMBERED.items, {}, {"arc": "brier"})
    with pytest.raises(FitnessError, match="expected answers measured by 'brier', found acc, acc_norm"):
        of(other, path)


def test_items_are_the_same_where_they_ask_the_same(tmp_path: Path) -> None:
    digests = [digest_of(content("choice", f"Question {i}", ["a", "b"])) for i in range(N)]
    mine = CampaignItems(
        tuple(f"mine/{d[:12]}" for d in digests),
        {f"mine/{d[:12]}": d for d in digests},
        {"mine": "acc"},
    )
    order = np.random.default_rng(1).permutation(N)
    records = [asked(f"Question {i}", "ba", n) for n, i in enumerate(order)]
    path = write_samples(tmp_path / "bank", SCORES[:, order], "arc_renamed", records)
    np.testing.assert_array_equal(of(mine, path), SCORES)


@pytest.mark.parametrize("named", [True, False])
def test_item_parameters_are_matched_by_rs_names_of_columns(named: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    a, d = rng.normal(2, 1, 7), rng.normal(0, 2, 7)
    numbers = rng.permutation(N)[:7]
    file = write_parameters(tmp_path / "p.csv", [f"X{i}" for i in numbers], a, d, np.full(7, 0.2), np.ones(7))
    tasks = {"arc": "acc"} if not named else {"arc": "acc", "other": "acc"}
    items = NUMBERED.items + (tuple(f"other/{i}" for i in range(N)) if named else ())
    campaign = CampaignItems(items, {}, tasks)
    if named:
        with pytest.raises(
            FitnessError, match=r"may be one of several tasks': say whose items these are, --bank TASK=p"
        ):
            match(read_bank(str(file)), campaign)
    found = match(read_bank(f"arc={file}" if named else str(file)), campaign)
    assert [items[i] for i in found.places] == [f"arc/{i}" for i in sorted(numbers)]
    assert found.bank.parameters is not None
    of_items = found.bank.parameters.of(found.keys)
    order = np.argsort(numbers)
    np.testing.assert_allclose(of_items.discriminations[:, 0], a[order])
    np.testing.assert_allclose(of_items.intercepts, d[order])
    np.testing.assert_allclose(of_items.guessing, 0.2)


def test_what_has_no_item_of_the_campaign_says_what_items_are_called(tmp_path: Path) -> None:
    file = write_parameters(tmp_path / "p.csv", ["Q1", "Q2"], *(np.ones(2) for _ in range(2)), np.zeros(2), np.ones(2))
    with pytest.raises(
        FitnessError, match=r"expected items of the campaign, found none: here .* 'arc/0', there as 'Q1'"
    ):
        match(read_bank(str(file)), NUMBERED)


PARAMETERS = '"X","a1","d","g","u"\n"X1",1,0,0.1,1\n'
HOSTILE = {
    "nan.csv": (PARAMETERS + '"X2",nan,0,0.1,1\n', "item 'X2': expected a1 from -50 to 50, found 'nan'"),
    "huge.csv": (PARAMETERS + '"X2",1,1e300,0.1,1\n', "expected d from -50 to 50"),
    "digits.csv": (PARAMETERS + '"X2",1,' + "9" * 5000 + ",0.1,1\n", "expected d from -50 to 50"),
    "guess.csv": (PARAMETERS + '"X2",1,0,1.5,1\n', "expected g from 0 to 0.999"),
    "upside.csv": (PARAMETERS + '"X2",1,0,0.9,0.5\n', "expected g below u, found 0.9 and 0.5"),
    "twice.csv": (PARAMETERS + '"X1",1,0,0.1,1\n', "expected each item once, found 'X1' twice"),
    "columns.csv": ('"X","a1","a1","d"\n"X1",1,1,0\n', "expected each column once"),
    "short.csv": (PARAMETERS + '"X2",1\n', "expected 5 cells as in the header"),
    "empty.csv": ("", "expected a header and rows"),
    "words.csv": ("X,b\nm1,hello\n", "expected a number, or the columns a1, d"),
    "binary.csv": (b"\xff\xfe\x00", "expected a readable CSV"),
    "samples_x.jsonl": ('{"doc_id": 1', "expected a JSON object, found broken JSON"),
    "samples_y.jsonl": ("[1, 2]\n", "expected a line of lm-eval's --log_samples"),
    "samples_z.jsonl": ("[" * 100_000, "broken JSON"),
    "x.parquet": (b"PAR1" + b"\0" * 20, "expected Parquet, found something else"),
    "x.pkl": (b"cos\nsystem\n", "expected a name ending in .csv, .json, .jsonl or .parquet"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_with_a_file_is_one_message_with_its_name(name: str, tmp_path: Path) -> None:
    written, message = HOSTILE[name]
    file = tmp_path / name
    file.write_bytes(written if isinstance(written, bytes) else written.encode())
    with pytest.raises(FitnessError, match=name.replace(".", r"\.")) as raised:
        read_bank(str(file))
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_leaderboard_without_scores_or_items_says_which_columns_it_looked_for(tmp_path: Path) -> None:
    path = write_results(tmp_path / "x.parquet", SCORES, "arc", range(N), score="grade")
    with pytest.raises(
        FitnessError, match=r"expected a column for a score \(score, acc, .* found the columns model_name"
    ):
        read_bank(str(path))
    path = write_results(tmp_path / "y.parquet", SCORES, "arc", range(N), item="number")
    with pytest.raises(FitnessError, match=r"expected a column for an item \(item, item_id, doc_id"):
        read_bank(str(path))


def test_a_missing_file_and_an_unknown_task_are_told(tmp_path: Path) -> None:
    with pytest.raises(FitnessError, match=r"expected a bank .* found nothing"):
        read_bank(str(tmp_path / "none.csv"))
    file = tmp_path / "p.csv"
    file.write_text(PARAMETERS)
    with pytest.raises(FitnessError, match="expected one of the campaign's tasks arc, found 'hellaswag'"):
        match(read_bank(f"hellaswag={file}"), NUMBERED)


def test_our_own_matrix_is_a_bank(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text('{"m0": {"arc/0": 1, "arc/1": 0}, "m1": {"arc/1": 0.5}}')
    own = read_matrix(file)
    found = of(NUMBERED, file)
    np.testing.assert_array_equal(found[:, :2], own.scores)
    assert np.isnan(found[:, 2:]).all()
