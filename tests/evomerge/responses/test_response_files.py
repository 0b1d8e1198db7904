from __future__ import annotations

import json
import os

import numpy as np
import pytest

from evomerge.responses.files import KeptRow, keep_row, kept_rows, read_matrix
from fitness.errors import FitnessError
from fitness.scores import ItemScores

WIDE = {"model": ["a", "b"], "t/1": [1.0, 0.0], "t/2": [None, 0.5]}


def expect(matrix) -> None:
    assert (matrix.models, matrix.items) == (("a", "b"), ("t/1", "t/2"))
    np.testing.assert_array_equal(matrix.scores, [[1.0, np.nan], [0.0, 0.5]])


def test_wide_csv_long_csv_json_and_parquet_say_the_same(tmp_path):
    from datasets import Dataset

    (tmp_path / "wide.csv").write_text("model,t/1,t/2\na,1,\nb,0,0.5\n")
    (tmp_path / "long.csv").write_text("model,item,score\na,t/1,1\nb,t/1,0\nb,t/2,0.5\n")
    (tmp_path / "rows.json").write_text(json.dumps({"a": {"t/1": 1, "t/2": None}, "b": {"t/1": 0, "t/2": 0.5}}))
    Dataset.from_dict(WIDE).to_parquet(str(tmp_path / "wide.parquet"))
    for name in ("wide.csv", "long.csv", "rows.json", "wide.parquet"):
        expect(read_matrix(tmp_path / name))


def test_rows_are_kept_one_by_one_and_make_a_matrix(tmp_path):
    rows = [
        KeptRow(i, f"model {i}", f"digest {i}", "content", ItemScores(("t/1", "t/2"), np.array([i / 3, 1.0])))
        for i in (0, 2)
    ]
    for row in rows:
        keep_row(tmp_path, row)
    (tmp_path / "00001.unfinished").write_bytes(b"PAR1")  # what a kill leaves behind
    assert kept_rows(tmp_path) == {0: rows[0], 2: rows[1]}
    matrix = read_matrix(tmp_path)
    assert matrix.models == ("model 0", "model 2")
    np.testing.assert_array_equal(matrix.scores, [[0.0, 1.0], [2 / 3, 1.0]])


def test_a_directory_without_rows_has_none(tmp_path):
    assert kept_rows(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", None, "found nothing"),
        ("m.csv", "", "found an empty file"),
        ("m.csv", "name,t/1\na,1\n", "a column 'model' and one per item, found the columns name, t/1"),
        ("m.csv", "model,t/1\na,1\nb\n", "m.csv:3: expected 2 cells as in the header, found 1"),
        ("m.csv", "model,t/1\na,high\n", "model 'a', item 't/1': expected a number, found 'high'"),
        ("m.csv", "model,t/1\na,1\na,0\n", "each model in one row, found 'a' twice"),
        ("m.csv", "model,t/1\n", "expected models and items, found 0 and 0"),
        ("m.json", "{", "broken JSON"),
        ("m.json", "[1]", "another form of JSON"),
        ("m.parquet", "no parquet", "expected Parquet, found something else"),
        ("m.txt", "a", "a name ending in .parquet, .csv or .json, found '.txt'"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused_with_its_place(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(FitnessError, match=message):
        read_matrix(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("huge.csv", b'model,a\n"' + b"x" * 200_000 + b'",1\n', "field larger than field limit"),
        ("latin.csv", b"model,a\n\xff,1\n", "can't decode byte 0xff"),
        ("column.csv", b"model,a,a\nx,1,2\n", "each column once, found 'a' twice"),
        ("long.csv", b"model,item,score\nx,a,1\nx,a,2\n", "expected one score, found 1 and 2"),
        ("twice.json", b'{"m": {"a": 1}, "m": {"a": 2}}', "expected one score, found 1 and 2"),
        ("deep.json", b"[" * 60_000, "broken JSON"),
        ("list.json", b'[["m", {}]]', "another form of JSON"),
        ("pipe.csv", None, "a pipe or a device"),
        ("pipe.json", None, "a pipe or a device"),
    ],
)
def test_what_can_be_read_in_two_ways_or_never_ends_is_refused_with_the_file(tmp_path, name, content, says):
    if content is None:
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FitnessError) as refused:
        read_matrix(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert says in str(refused.value)
