import contextlib
import csv
import io
import threading
from pathlib import Path

import numpy as np
import pytest

import evomerge
from evomerge.archive import Archive
from evomerge.candidate import Candidate
from fitness.statistics import paired_difference
from tests.evomerge.archives import make_archive, merged, scored
from tests.evomerge.studio.served import Studio, studio


def test_runs_below_a_directory_are_listed_by_keys_that_name_no_path(served: Studio, runs: Path) -> None:
    listed = served.get("/api/runs")
    assert {one["name"] for one in listed} == {"arithmetic and words"}
    assert sorted(one["directory"] for one in listed) == sorted(str(runs / name) for name in ("three", "verified"))
    assert all("/" not in one["key"] for one in listed)


def test_the_front_is_that_of_the_python_api(served: Studio, runs: Path) -> None:
    key, front = served.key("verified"), evomerge.load(runs / "verified").front
    points = served.get(f"/api/runs/{key}/front")["points"]
    shown = {n for n, on in zip(points["number"], points["front"], strict=True) if on}
    assert shown == {point.candidate.number for point in front.points}
    at = points["number"].index(front.knee.candidate.number)
    assert [column[at] for column in points["values"]] == pytest.approx(
        [o.value for o in front.knee.estimate.objectives], abs=1e-5
    )
    assert served.get(f"/api/runs/{key}")["picks"]["candidates"] == dict(front.picks.chosen)


def test_the_table_is_sorted_and_paged_as_pandas_would(served: Studio, runs: Path) -> None:
    frame = evomerge.load(runs / "verified").candidates.to_pandas().sort_values("mean", ascending=False, kind="stable")
    page = served.get(f"/api/runs/{served.key('verified')}/candidates?sort=mean&order=down&offset=5&limit=7")
    assert [row["number"] for row in page["rows"]] == frame.index[5:12].tolist()
    assert page["total"] == len(frame)


def test_what_is_missing_comes_last_in_either_order(served: Studio) -> None:
    for order in ("up", "down"):
        page = served.get(f"/api/runs/{served.key('verified')}/candidates?sort=mean&order={order}&limit=500")
        assert [row["state"] for row in page["rows"][-2:]] == ["failed", "failed"]


def test_bounds_states_and_text_let_through_what_they_say(served: Studio) -> None:
    at = f"/api/runs/{served.key('verified')}/candidates"
    assert {row["mean"] >= 0.5 for row in served.get(f"{at}?least.mean=0.5&limit=500")["rows"]} == {True}
    failed = served.get(f"{at}?state=failed")
    assert [row["number"] for row in failed["rows"]] == [8, 14]
    assert served.get(f"{at}?text=out%20of%20memory")["total"] == 2
    assert [row["number"] for row in served.get(f"{at}?only=3,5")["rows"]] == [3, 5]


def test_files_hold_every_candidate_with_errors_and_genes(served: Studio) -> None:
    import pyarrow.parquet as pq

    at = f"/api/runs/{served.key('verified')}/candidates"
    rows = list(csv.DictReader(io.StringIO(served.ask(f"{at}.csv").body.decode())))
    table = pq.read_table(io.BytesIO(served.ask(f"{at}.parquet").body))
    assert len(rows) == table.num_rows == 65
    assert list(rows[0]) == table.column_names
    assert {"arithmetic stderr", "gene 0", "failure"} <= set(rows[0])


def test_a_comparison_pairs_items_as_the_statistics_do(served: Studio, runs: Path) -> None:
    key = served.key("verified")
    found = served.get(f"/api/compare?a={key}:60&b={key}:0")["splits"]["search"]
    items = evomerge.load(runs / "verified").items
    a, b = items.scores(60), items.scores(0)
    assert a is not None
    assert b is not None
    wins = dict(zip(b.item_ids, b.values, strict=True))
    gained = sum(v > wins[i] for i, v in zip(a.item_ids, a.values, strict=True))
    assert found["won"] == gained
    from fitness.estimation import Objective

    task_of = {item: item.rpartition("/")[0] for item in a.item_ids}
    objectives = [Objective(name, (name,)) for name in dict.fromkeys(task_of.values())]
    expected = paired_difference(a, b, objectives=objectives, task_of=task_of)
    assert found["mean"]["difference"]["low"] == pytest.approx(expected.low, abs=1e-5)


def test_the_verdict_has_the_rows_and_words_of_the_verification(served: Studio, runs: Path) -> None:
    report = evomerge.load(runs / "verified").verification
    assert report is not None
    found = served.get(f"/api/runs/{served.key('verified')}/verdict")
    assert [row["candidate"] for row in found["rows"]] == [row.candidate for row in report.rows]
    assert report.verdict in found["headline"]
    assert served.get(f"/api/runs/{served.key('three')}/verdict")["verified"] is False


def test_curves_never_fall_and_end_at_the_last_outcome(served: Studio) -> None:
    found = served.get(f"/api/runs/{served.key('three')}/search")
    assert [curve["name"] for curve in found["curves"][:3]] == ["hypervolume", "best mean", "best worst objective"]
    for curve in found["curves"]:
        assert (np.diff(curve["values"]) >= 0).all()
        assert curve["evaluation"][-1] == found["evaluations"]


def test_a_candidate_that_is_not_there_is_a_message(served: Studio) -> None:
    answer = served.ask(f"/api/runs/{served.key('three')}/candidates/999")
    assert answer.status == 409
    assert "expected a number below 65" in answer.document["error"]


def test_news_name_the_run_in_which_something_was_committed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    path = tmp_path / "one" / "archive.sqlite"
    make_archive(path, proposals=4).close()
    with studio([tmp_path]) as served:
        key, told = served.key(), []

        def listen() -> None:
            import http.client

            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)) as connection:
                connection.request("GET", "/api/news")
                answer = connection.getresponse()
                listening.set()
                while not (line := answer.readline()).startswith(b"data:"):
                    assert line
                told.append(line.decode())

        listening = threading.Event()
        thread = threading.Thread(target=listen)
        thread.start()
        assert listening.wait(20)
        before = served.get(f"/api/runs/{key}")["told"]
        with contextlib.closing(Archive.open(path)) as archive:
            rng = np.random.default_rng(1)
            candidate = Candidate(9, merged(rng), None, 4, rng.random(4))
            archive.asked([candidate], 1)
            archive.told([scored(rng, candidate, [0.6, 0.6])])
        thread.join(30)
        assert key in told[0]
        assert served.get(f"/api/runs/{key}")["told"] == before + 1


def test_notes_and_stars_are_kept_and_an_empty_note_is_gone(served: Studio, runs: Path) -> None:
    at = f"/api/runs/{served.key('three')}"
    assert served.put(f"{at}/notes/7", b'{"star": true, "text": "try this"}').status == 200
    assert served.get(f"{at}/notes")["notes"]["7"]["text"] == "try this"
    assert [row["number"] for row in served.get(f"{at}/candidates?starred=1")["rows"]] == [7]
    assert (runs / "three" / "notes.json").is_file()
    assert served.put(f"{at}/notes/7", b'{"star": false, "text": ""}').status == 200
    assert served.get(f"{at}/notes")["notes"] == {}


def test_hours_of_workers_add_up_and_every_lane_has_a_name(served: Studio) -> None:
    found = served.get(f"/api/runs/{served.key('three')}/search")
    assert found["computed"]["unit"] == "worker hours"  # this archive does not say where it was scored
    assert found["computed"]["hours"][-1] == pytest.approx(found["timeline"]["busy"] / 3600, rel=1e-4)
    assert len(found["timeline"]["names"]) == found["timeline"]["lanes"]
