"""The report's colours, one meaning each: the page takes them as CSS variables, notebooks and PNGs as they are."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

LIGHT = MappingProxyType(
    {
        "paper": "#fbfaf6",
        "card": "#ffffff",
        "ink": "#1f1e1c",
        "muted": "#6d6a64",
        "line": "#e5e1d8",
        "dominated": "#bdb8ad",
        "front": "#2c5fc9",
        "knee": "#c97a00",
        "winner": "#c4321d",
        "landmark": "#1f1e1c",
        "band": "rgba(44, 95, 201, 0.16)",
        "low": "#14807a",
        "middle": "#f1ede3",
        "high": "#b4531a",
        "worse": "#c4321d",
        "hopeless": "#7c4dab",
        "rung": "#14807a",
        "screen": "#a07400",
    }
)
DARK = MappingProxyType(
    {
        "paper": "#131316",
        "card": "#1b1b1f",
        "ink": "#ecebe7",
        "muted": "#a09d96",
        "line": "#333338",
        "dominated": "#5d5c62",
        "front": "#7fa6ff",
        "knee": "#f0ae3f",
        "winner": "#ff7d69",
        "landmark": "#ecebe7",
        "band": "rgba(127, 166, 255, 0.20)",
        "low": "#4fb9b0",
        "middle": "#2b2b30",
        "high": "#e68a4d",
        "worse": "#ff7d69",
        "hopeless": "#b893e6",
        "rung": "#4fb9b0",
        "screen": "#d9ad3c",
    }
)
_BY_VARIABLE = MappingProxyType(
    {"var(--sans)": "system-ui, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"}
    | {f"var(--{name})": colour for name, colour in LIGHT.items()}
)


def css_variables(palette: MappingProxyType[str, str]) -> str:
    """Return the declarations of a palette, `--name: colour;`."""
    return " ".join(f"--{name}: {colour};" for name, colour in palette.items())


def in_light(figure: Any) -> Any:
    """Return plain data with every colour's name, `var(--name)`, replaced by that colour of the light palette."""
    if isinstance(figure, dict):
        return {key: in_light(value) for key, value in figure.items()}
    if isinstance(figure, list):
        return [in_light(value) for value in figure]
    return _BY_VARIABLE.get(figure, figure) if isinstance(figure, str) else figure
