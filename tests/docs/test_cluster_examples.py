"""The recipes for clusters that no test can run: they parse, and every name in them is one that there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from evomerge.cli.app import app

ROOT = Path(__file__).parents[2]


def test_the_job_of_kuberay_names_a_command_of_ours_the_tested_ray_and_volumes_that_it_has() -> None:
    job = yaml.safe_load((ROOT / "examples" / "cluster" / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, command, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert program == "evomerge"
    context: Any = get_command(app)
    options = {name for parameter in context.commands[command].params for name in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options
    cluster = job["spec"]["rayClusterSpec"]
    tested = re.search(r"^ray==([\d.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert tested is not None
    assert cluster["rayVersion"] == tested[1]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert set(mounts) == volumes
            assert mounts["runs"] == "/runs"  # where the entrypoint looks
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups[1:])
