from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

import search_spaces

ROOMS = ("operators", "parents", "recipes")


@pytest.mark.parametrize("name", search_spaces.__all__)
def test_every_name_of_the_face_is_there_whatever_was_imported_before(name: str) -> None:
    assert not isinstance(getattr(search_spaces, name), type(sys)), "a folder of this name hides it"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_offers_what_the_face_offers(room: str) -> None:
    found = importlib.import_module(f"search_spaces.{room}")
    assert all(getattr(found, name) is getattr(search_spaces, name, getattr(found, name)) for name in found.__all__)


def test_the_example_of_the_face_is_true() -> None:
    assert doctest.testmod(search_spaces).failed == 0


def test_neither_the_face_nor_the_rooms_of_recipes_and_operators_load_torch() -> None:
    rooms = ", ".join(f"search_spaces.{room}" for room in ROOMS)
    code = f"import sys, search_spaces, {rooms}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Recipee'"):
        search_spaces.Recipee  # noqa: B018
