"""Train LesaNet and its variants on the same lesions, on one split or several, and compare them.

    RESULTS/
      experiment.json             the dataset and the recipe that all results share
      results/SPLIT/VARIANT.json  scores on the test lesions; what is here is never trained again
      models/SPLIT/VARIANT/       the network; may be deleted
      datasets/SPLIT/             a re-split dataset; may be deleted
      ablation.md, ablation.html, table1.csv, table3.csv, scores.csv

SPLIT is `given`, the dataset's own, or the number of a random one. A run that was stopped leaves
checkpoints below `models`, and the next goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import Any

from pipelines.ablation_tables import GIVEN, write_tables
from pipelines.lesanet import TrainLesanetConfig, evaluate_lesanet, read_gold, train_lesanet
from pipelines.locks import folder_lock
from pipelines.variants import DEFAULT, VARIANTS, choose_variants, trained
from vision.errors import InputError
from vision.recipe import TrainConfig
from vision.run_folder import latest_checkpoint, write_text

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """What to compare, on which lesions.

    Attributes:
        dataset: A lesion dataset with training, validation and test lesions.
        out: The folder of results: created, or added to.
        variants: Names or groups of `pipelines.variants.VARIANTS`; the full model comes along.
        splits: How many random splits; 0 takes the dataset's own.
        gold: A CSV with `lesion_id` and `labels`: score against these too.
        training: The recipe of the full model; split K trains with `seed` + K.
        jobs: How many runs at once, each in its own process: one a GPU, if there are GPUs.
    """

    dataset: Path
    out: Path
    variants: tuple[str, ...] = DEFAULT
    splits: int = 0
    gold: Path | None = None
    training: TrainConfig = field(default_factory=TrainConfig)
    jobs: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training: a variant on a split."""

    variant: str
    split: str

    def __str__(self) -> str:
        place = "the given split" if self.split == GIVEN else f"split {self.split}"
        return f"{VARIANTS[self.variant].title}, {place}"


def ablate_lesanet(config: AblateConfig, *, say: Say = print) -> Path:
    """Train what is missing, and write tables and page.

    Args:
        config: See there.
        say: Takes a line on each run.

    Returns:
        The page.

    Raises:
        InputError: If the dataset or table can't be read, the folder holds results of others, or
            a run failed; the other runs are done then, and the tables written.
    """
    from concurrent.futures import ThreadPoolExecutor

    with folder_lock(config.out):
        runs = plan_runs(config, say=say)
        places = Places(config.jobs)
        with ThreadPoolExecutor(config.jobs) as pool:
            failures = list(pool.map(lambda run: attempt(run, config, places, say=say), runs))
        return finish(config, failures)


def plan_runs(config: AblateConfig, *, say: Say = print) -> list[Run]:
    """What is still to be done, split by split; the re-split datasets it needs are written.

    Raises:
        InputError: If the dataset or table can't be used, or the folder holds other results.
    """
    from vision.rows import SPLITS, shards_of
    from vision.splits import write_resplit

    names = trained(choose_variants(config.variants))
    for name in names:  # a recipe that can't be is told before the first training
        recipe_of(Run(variant=name, split=GIVEN), config)
    if missing := [split for split in SPLITS if split not in shards_of(config.dataset)]:
        raise InputError(
            f"{config.dataset} has no {missing[0]} lesions; an ablation needs training, "
            "validation and test lesions."
        )
    if config.gold is not None:
        read_gold(config.gold)
    _check_experiment(config)
    splits = [str(k) for k in range(1, config.splits + 1)] or [GIVEN]
    runs = [Run(variant=name, split=split) for split in splits for name in names]
    todo = [run for run in runs if not _is_done(run, config)]
    say(f"{len(runs)} runs, of which {len(runs) - len(todo)} are done already.")
    for split in dict.fromkeys(run.split for run in todo):
        if split != GIVEN and not dataset_of(split, config).exists():
            write_resplit(config.dataset, dataset_of(split, config), seed=int(split))
    return todo


def recipe_of(run: Run, config: AblateConfig) -> TrainConfig:
    """How a run trains."""
    number = 0 if run.split == GIVEN else int(run.split)
    recipe = replace(config.training, seed=config.training.seed + number)
    return VARIANTS[run.variant].change(recipe)


def dataset_of(split: str, config: AblateConfig) -> Path:
    """The dataset whose own split it is."""
    return config.dataset if split == GIVEN else config.out / "datasets" / split


def attempt(run: Run, config: AblateConfig, places: Places, *, say: Say = print) -> str | None:
    """Do a run; return what went wrong, if the user can put it right."""
    try:
        result = places.do(run, config)
    except InputError as error:
        say(f"{run}: failed. {error}")
        return f"{run}: {error}"
    auc, f1 = (_shown(result["mined"][key]) for key in ("auc", "f1"))
    say(f"{run}: AUC {auc}, F1 {f1}, {result['seconds']:,.0f} s")
    return None


def do_run(run: Run, config: AblateConfig) -> dict[str, Any]:
    """Train a variant on a split, score it, and store the scores.

    What an earlier run left is gone on from: a trained network is only scored, and a training
    that was stopped goes on from its checkpoint.

    Returns:
        What is stored: `variant`, `split`, `config`, `seconds`, and the scores on the test lesions
        against `mined` and `gold` labels, the latter None without a table that names them.

    Raises:
        InputError: If the run can't be done.
    """
    model, dataset = _model_of(run, config), dataset_of(run.split, config)
    recipe = recipe_of(run, config)
    if not (model / "metrics.json").exists():
        resume = latest_checkpoint(model) is not None
        if not resume:  # stopped before the first checkpoint, or its checkpoint was deleted
            shutil.rmtree(model, ignore_errors=True)
        train_lesanet(
            TrainLesanetConfig(dataset=dataset, out=model, training=recipe, resume=resume),
            say=lambda _: None,
        )
    metrics = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    result = {
        "variant": run.variant,
        "split": run.split,
        "gold_table": _digest(config.gold),
        "config": asdict(recipe),
        "seconds": sum(row["seconds"] for row in metrics["history"]),
        "training_lesions": metrics["training_lesions"],
        "mined": evaluate_lesanet(model, dataset),
        "gold": _score_gold(model, dataset, config.gold),
    }
    path = _result_of(run, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1, allow_nan=False) + "\n")
    shutil.rmtree(model / "checkpoints", ignore_errors=True)
    return result


def finish(config: AblateConfig, failures: list[str | None]) -> Path:
    """Write tables and page, then tell what failed.

    Raises:
        InputError: If a run failed.
    """
    page = write_tables(config.out, choose_variants(config.variants))
    if told := [failure for failure in failures if failure]:
        raise InputError(
            f"{len(told)} of {len(failures)} runs failed; {page} has the others. The first:\n"
            f"{told[0]}\nThe same command does those that are missing."
        )
    return page


class Places:
    """Where runs are done: in this process, or several at once, each in its own.

    With GPUs, a run takes one that is free; without, the runs share the cores.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.free: Queue[str | None] = Queue()
        gpus = _gpus()
        for number in range(jobs):
            self.free.put(gpus[number % len(gpus)] if gpus else None)

    def do(self, run: Run, config: AblateConfig) -> dict[str, Any]:
        """`do_run`, when there is room for it."""
        if self.jobs == 1:
            return do_run(run, config)
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        gpu = self.free.get()
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        try:
            with ProcessPoolExecutor(
                1, get_context("spawn"), initializer=_settle, initargs=(gpu, threads)
            ) as pool:
                return pool.submit(do_run, run, config).result()
        finally:
            self.free.put(gpu)


def _gpus() -> list[str]:
    """The numbers of the GPUs that may be used."""
    import torch

    if allowed := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return allowed.split(",")
    return [str(number) for number in range(torch.cuda.device_count())]


def _settle(gpu: str | None, threads: int) -> None:
    """Prepare a process: its GPU, its share of the cores, its end with that of its parent."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait
    from threading import Thread

    import torch

    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)

    def follow() -> None:
        if parent := parent_process():
            wait([parent.sentinel])
            os._exit(1)  # it may hold a checkpoint's place otherwise, while the next run begins

    Thread(target=follow, daemon=True).start()


def _is_done(run: Run, config: AblateConfig) -> bool:
    path = _result_of(run, config)
    if not path.exists():
        return False
    if config.gold is None:
        return True
    stored = json.loads(path.read_text(encoding="utf-8"))
    return bool(stored["gold_table"] == _digest(config.gold))


def _result_of(run: Run, config: AblateConfig) -> Path:
    return config.out / "results" / run.split / f"{run.variant}.json"


def _model_of(run: Run, config: AblateConfig) -> Path:
    return config.out / "models" / run.split / run.variant


def _score_gold(model: Path, dataset: Path, gold: Path | None) -> dict[str, Any] | None:
    """The scores against a table, if it names any of the test lesions."""
    from vision.data import LesionDataset

    if gold is None or not read_gold(gold).keys() & {*LesionDataset(dataset, "test").lesion_ids}:
        return None
    return evaluate_lesanet(model, dataset, gold=gold)


def _check_experiment(config: AblateConfig) -> None:
    """Refuse to put results of another dataset or recipe beside those that are there."""
    path = config.out / "experiment.json"
    dataset = [config.dataset / name for name in ("README.md", "labels.json")]
    now = {
        "name": config.dataset.absolute().name,
        "dataset": [_digest(file) for file in dataset],  # the card names the shards' digests
        "recipe": asdict(config.training),
    }
    now = json.loads(json.dumps(now))  # tuples become lists
    if not path.exists():
        write_text(path, json.dumps(now, indent=1) + "\n")
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["dataset"] != now["dataset"]:
        raise InputError(
            f"{config.out} holds results of another dataset ({stored['name']}), or of other "
            "contents of this one. Give another --out."
        )
    changed = [name for name, value in stored["recipe"].items() if now["recipe"].get(name) != value]
    if changed:
        told = ", ".join(f"{n} {stored['recipe'][n]} (now {now['recipe'].get(n)})" for n in changed)
        raise InputError(
            f"{config.out} holds results that were trained with {told}. Take the same settings, "
            "or give another --out."
        )


def _digest(path: Path | None) -> str | None:
    return None if path is None else hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
