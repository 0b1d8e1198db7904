"""Descents that a search begins with: where its optimiser starts, and a landmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evomerge.archive import Archive
from evomerge.assembly import Parts
from evomerge.assembly.further_landmarks import FurtherLandmarks
from evomerge.config.further_landmarks import GRADIENT, name_of
from evomerge.optimisers import OptimiserError
from evomerge.optimisers.gradient.options import Descending, Gradient, descent_of
from evomerge.optimisers.terrain import Notes, NotesApart
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError
from search_spaces.spaces.space import Landmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Descents:
    """Descends on the coefficients of a campaign's space; every snapshot is noted, and never computed again."""

    parts: Parts
    archive: Archive
    say: Callable[[str], object]

    def start(self) -> NDArray[np.float64]:
        """Return where the descent of `warm_start: gradient` ends, (dim,)."""
        options = descent_of(self.parts.config.optimiser)
        assert options is not None
        return self._end_of(options, self.archive)

    def landmarks(self, further: FurtherLandmarks) -> Sequence[Landmark]:
        """Return the landmark that a descent makes; nobody has to have one that nobody asked for."""
        if not further.descent:
            return ()
        try:
            genome = self._end_of(Gradient(per="group"), NotesApart(self.archive, "landmark"))
        except (OptimiserError, SpaceError, FitnessError) as error:
            if self.parts.config.landmarks != "auto" or self.archive.n_candidates:
                raise
            self.say(further.without_descent(self.archive, str(error)).notes[-1])
            return ()
        return (Landmark(name_of(GRADIENT, 1.0), self.parts.space.decode(genome)),)

    def _end_of(self, options: Descending, notes: Notes) -> NDArray[np.float64]:
        descent = options.descent(self.parts.problem(notes=notes))
        for snapshot in descent:
            if not self.archive.n_candidates:  # else all of it was noted, and told, before
                self.say(f"descent: step {snapshot.step}, loss {snapshot.held_back:.4f} on items held back")
        operators = getattr(self.parts.space, "operators", ())
        if operators != ("task_arithmetic",):
            self.say(f"descent: of {', '.join(operators)} the nearest genome: the same weights")
        return descent.best().genome
