"""Where candidates are merged and scored: in this process, or in Ray actors (`ray_pool.RayPool`, which loads Ray)."""

from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import CandidateWorker, ClusterLostError, WorkerPool, WorkerSetupError
from evomerge.workers.worker import Worker

__all__ = ["CandidateWorker", "ClusterLostError", "InProcessPool", "Worker", "WorkerPool", "WorkerSetupError"]
