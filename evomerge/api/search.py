"""`evomerge.search`: from keyword arguments, or a campaign file, to a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evomerge.api.arguments import callbacks_of, directories, path_of
from evomerge.api.recorded import recorded_campaign
from evomerge.api.run import Run
from evomerge.api.sections import Given, Model, Models, Objectives, campaign
from evomerge.campaign import RunDirectory
from evomerge.campaign.events import Callback
from evomerge.campaign.trust import check_campaign_file
from evomerge.config import CampaignConfig, load_campaign, overridden
from evomerge.config.overrides import Overrides, parsed


class Search:
    """Starts searches: called with a campaign's sections, or with its file (`from_yaml`)."""

    def __call__(  # noqa: PLR0913 -- the sections of a campaign
        self,
        parents: Models,
        objectives: Objectives,
        *,
        base: Model | None = None,
        space: Any = None,
        optimiser: Any = None,
        evaluations: int | None = None,
        workers: int | Mapping[str, Any] | None = None,
        seed: int | None = None,
        splits: Mapping[str, float | str] | None = None,
        run_dir: str | Path | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        **sections: Any,
    ) -> Run:
        """Search for the best merge of some models; where the run directory holds the same campaign, go on with it.

        >>> import evomerge as em
        >>> run = em.search(
        ...     parents=["./arithmetic", "./words"],
        ...     base="./base",
        ...     objectives={"words": "words.jsonl", "numbers": "numbers.jsonl"},
        ...     space=em.spaces.Weights("task_arithmetic", layer_blocks=1),
        ...     optimiser="random",
        ...     evaluations=8,
        ...     run_dir="runs/example",
        ... )
        >>> run.n_candidates
        8

        Args:
            parents: the models to merge, at least two: directories, hub ids or mappings as in a campaign file; or
                name -> one of these.
            objectives: name -> tasks; all are maximised. A task is a file (.jsonl, or .yaml of lm-eval), the name of an
                lm-eval task, or a function of a module or file; several are a list, and a mapping has further keys such
                as weight. A list of these names each objective by its task.
            base: the model that the parents were fine-tuned from; None: the first parent donates config and tokenizer.
            space: what can be built: the name of a kind, an object of `evomerge.spaces`, or any object with `decode`
                and `encode`. None: weights.
            optimiser: who proposes: the name of a kind, an object of `evomerge.optimisers`, a mapping with `kind`, any
                object with `ask` and `tell`, or a function that makes one of the search space. None: bayes for weights
                with at most 300 evaluations, else cma_es for one objective and nsga2 for several.
            evaluations: candidates to score, landmarks included, at least 1; None: 200.
            workers: how many; more than one makes a Ray pool. Or a mapping as in a campaign file.
            seed: of everything random, at least 0; None: 0.
            splits: shares of each task's items: search, validation and test; None: 0.5, 0.2 and 0.3.
                `drawn` as in a campaign file.
            run_dir: where everything is kept; None: runs/NAME.
            callbacks: one or several, called with every event (`evomerge.events`), after it was saved; what one raises
                is a warning.
            sections: further sections of a campaign file: name, budget, export, prompts, ...

        Returns:
            The run, ended.

        Raises:
            ConfigError: everything that is wrong with the arguments, at once.
            RunDirectoryError: the directory holds another campaign, or another process works there.
            SearchInterruptedError: Ctrl-C, which finishes what is running; everything is saved.
            EvomergeError: a model or a task cannot be read, or five candidates failed in a row.
        """
        own = {"optimiser": optimiser, "seed": seed, "splits": splits}
        config, given = campaign(
            parents, objectives, base=base, space=space, evaluations=evaluations, workers=workers, **own, **sections
        )
        return _searched(config, run_dir, given, callbacks)

    def from_yaml(
        self,
        path: str | Path,
        *,
        set: Overrides = (),
        evaluations: int | None = None,
        workers: int | None = None,
        run_dir: str | Path | None = None,
        parents: Mapping[str, str | Path] = MappingProxyType({}),
        callbacks: Callback | Sequence[Callback] = (),
        trust_tasks: bool = False,
    ) -> Run:
        """Do what `evomerge run` does.

        >>> import evomerge as em
        >>> file = "runs/mine/campaign.yaml"
        >>> run = em.search.from_yaml(file, set={"budget.evaluations": 6}, run_dir="runs/from-yaml")
        >>> run.ending
        'evaluations'

        Args:
            path: a campaign file, or the directory of a run to go on with.
            set: keys to change, as {"space.operator": "ties"} or ["space.operator=ties"].
            evaluations: candidates in all, in every stage; None: as the file says.
            workers: how many; None: as the file says.
            run_dir: where everything is kept; None: runs/NAME, or the directory that is gone on with.
            parents: name -> directory, of parents that are not where the file says; to go on with a search, their files
                must be the same.
            callbacks: see `evomerge.search`.
            trust_tasks: whether code that a run directory names, which somebody else began, may be run.

        Returns:
            The run, ended; of a campaign with stages, that of the last one.

        Raises:
            ConfigError: everything that is wrong with the file, at once, with its lines.
            UntrustedCodeError: somebody else began the run, and it names code.
            EvomergeError: see `evomerge.search`.
        """
        file = path_of("path", path)
        moved = directories("parents", parents)
        config = read_campaign(
            file,
            set,
            evaluations=evaluations,
            workers=workers,
            models_must_exist=not moved,
            trust_tasks=trust_tasks,
        )
        return _searched(config, file if run_dir is None and file.is_dir() else run_dir, Given(), callbacks, moved)


def read_campaign(
    path: Path,
    overrides: Overrides = (),
    *,
    optimiser: str | None = None,
    evaluations: int | None = None,
    workers: int | None = None,
    models_must_exist: bool = True,
    trust_tasks: bool = False,
) -> CampaignConfig:
    """Return the resolved campaign of a file, or of a run directory, with what was said beside it.

    Raises:
        UntrustedCodeError: it is of a run that somebody else began, names code, and is not trusted.
    """
    if optimiser is not None:
        said = [(key, value) for key, value, _ in parsed(overrides)]
        overrides = {"optimiser": {"kind": optimiser}, **dict(said)}
    if path.is_dir():
        config = recorded_campaign(path, overrides, trust_tasks=trust_tasks)
    else:
        check_campaign_file(path, trust=trust_tasks)
        config = load_campaign(path, overrides=overrides, models_must_exist=models_must_exist)
    return overridden(config, evaluations=evaluations, workers=workers)


def _searched(
    config: CampaignConfig,
    run_dir: str | Path | None,
    given: Given,
    callbacks: Callback | Sequence[Callback],
    moved: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    directory = RunDirectory(Path("runs") / config.name if run_dir is None else path_of("run_dir", run_dir))
    from evomerge.api.session import run_stages

    run_stages(config, directory, given, callbacks_of(callbacks), moved)
    return Run(directory.root)


search = Search()
