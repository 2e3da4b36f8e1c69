"""On which devices and machines a training runs: one device, several GPUs, several workers.

`MultiWorkerMirroredStrategy` must be made before TensorFlow computes anything, so a command calls
`make_distribution` right after it has imported TensorFlow.
"""

import json
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

DistributionName = Literal["none", "auto", "mirrored", "multiworker"]

EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class DistributionError(ValueError):
    """Devices or workers that a training cannot be spread over."""


@dataclass(frozen=True)
class Distribution:
    """Where a training runs.

    Args:
        strategy: of TensorFlow; None is one device.
    """

    strategy: tf.distribute.Strategy | None = None

    def scope(self) -> AbstractContextManager[Any]:
        """The context in which the optimizer is made, so that each replica has its state."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    @property
    def num_replicas(self) -> int:
        """Devices that train together, over all workers."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @cached_property
    def num_workers(self) -> int:
        """Processes that train together."""
        if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return 1
        addresses = self.strategy.cluster_resolver.cluster_spec().as_dict()
        return sum(len(addresses.get(kind, ())) for kind in ("chief", "worker"))

    @property
    def is_chief(self) -> bool:
        """This process writes files and talks; of several workers one does."""
        if self.num_workers == 1:
            return True
        resolver = self.strategy.cluster_resolver
        chief = "chief" if "chief" in resolver.cluster_spec().as_dict() else "worker"
        return (resolver.task_type, resolver.task_id) == (chief, 0)

    def require_batch_size(self, batch_size: int, field: str = "train.batch_size") -> None:
        """Refuse batches of which a replica would get nothing.

        Raises:
            DistributionError: fewer utterances than replicas.
        """
        if batch_size < self.num_replicas:
            raise DistributionError(
                f"`{field}` must be at least the number of devices that share a batch. "
                f"Received: {batch_size} for {self.num_replicas} devices."
            )

    def require_compilable(self, xla: bool) -> None:
        """Refuse to compile with XLA, whose programs cannot wait for other devices.

        Raises:
            DistributionError: `xla` on several devices.
        """
        if xla and self.num_replicas > 1:
            raise DistributionError("`train.xla` compiles for one device; leave it off on several")

    def from_chief(self, value: np.ndarray) -> np.ndarray:
        """The chief's value on every worker; all must call it with the same shape."""
        value = np.asarray(value)
        if self.num_workers == 1 or value.size == 0:  # TensorFlow crashes on nothing to add
            return value
        # Collectives add up only these types, and each holds all values of its kind exactly.
        wide = value.astype("float32" if value.dtype.kind == "f" else "int64")

        def own(context) -> tf.Tensor:
            return tf.constant(wide if context.replica_id_in_sync_group == 0 else wide * 0)

        values = self.strategy.experimental_distribute_values_from_function(own)
        total = self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)
        return total.numpy().astype(value.dtype)

    def text_from_chief(self, text: str) -> str:
        """The chief's text on every worker."""
        if self.num_workers == 1:
            return text
        own = np.frombuffer(text.encode(), np.uint8)
        size = int(self.from_chief(np.array(len(own))))
        return self.from_chief(np.resize(own, size)).astype(np.uint8).tobytes().decode()

    def assign_from_chief(self, variables: Iterable[keras.Variable]) -> None:
        """Give variables the chief's values on every worker."""
        if self.num_workers > 1:
            for variable in variables:
                variable.assign(self.from_chief(np.asarray(variable)))

    def require_same(self, **values: int) -> None:
        """Refuse a worker that reads other data or another recipe than the chief.

        Args:
            values: what must be equal -> this worker's.

        Raises:
            DistributionError: names what differs.
        """
        for name, value in values.items():
            chief = int(self.from_chief(np.array(value)))
            if chief != value:
                raise DistributionError(
                    f"this worker has {value} {name.replace('_', ' ')} and the chief {chief}; "
                    "give every worker the same command and the same data set"
                )


def make_distribution(name: DistributionName = "auto") -> Distribution:
    """The devices of this machine, or the workers that the variable TF_CONFIG names.

    Args:
        name: "none" is one device; "mirrored" all GPUs of this machine (all logical CPU devices
            where there is no GPU); "multiworker" what TF_CONFIG says; "auto" is "multiworker"
            where TF_CONFIG names several workers, "mirrored" with several GPUs, else "none".

    Raises:
        DistributionError: TF_CONFIG is missing or malformed, or there is only one device or worker.
    """
    workers = 0
    if name == "multiworker" or (name == "auto" and "TF_CONFIG" in os.environ):
        workers = _count_workers()
    if name == "multiworker" or workers > 1:
        if workers < 2:
            raise DistributionError(
                "TF_CONFIG names one worker, and --distribute multiworker needs several; "
                "use --distribute auto"
            )
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy())
    if name == "none":
        return Distribution()
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if name == "mirrored":
        if len(devices) < 2:
            kind = "GPU" if gpus else "CPU and no GPU"
            raise DistributionError(
                f"--distribute mirrored needs several GPUs, and TensorFlow sees one {kind}; "
                "use --distribute auto"
            )
    elif len(gpus) < 2:
        return Distribution()
    return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))


def _count_workers() -> int:
    """Number of workers of TF_CONFIG, after a look at whether it is complete."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise DistributionError(
            f"--distribute multiworker needs the variable TF_CONFIG, such as {EXAMPLE}"
        )
    try:
        settings = json.loads(text)
        cluster, task = settings["cluster"], settings["task"]
        unknown = sorted(set(cluster) - {"chief", "worker"})
        addresses = [*cluster.get("chief", ()), *cluster["worker"]]
        own = cluster[task["type"]][int(task["index"])]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise DistributionError(
            f"TF_CONFIG names no task of a cluster; it reads {EXAMPLE}"
        ) from None
    if unknown:
        raise DistributionError(
            f"TF_CONFIG: only `chief` and `worker` can train together, not `{unknown[0]}`"
        )
    for address in (own, *addresses):
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdecimal():
            raise DistributionError(
                f"TF_CONFIG: '{address}' is no address of a worker; write it as host:port"
            )
    if len(set(addresses)) < len(addresses):
        raise DistributionError("TF_CONFIG names the address of a worker twice")
    return len(addresses)
