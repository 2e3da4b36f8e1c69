"""What the user sees while a model trains: a bar on a terminal, one line an epoch elsewhere."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmer_tf.evaluation.history import best_epoch


class EpochProgress(keras.callbacks.Callback):
    """Print one line an epoch, under it on a terminal a bar over all steps.

    Both tell the learning rate and the time that is left of this training, or of this stage of it.
    A context manager, so that the bar ends and the cursor is back however training ends.

    Args:
        console: where to print; None is silent.
        epochs: number of epochs of the whole training.
        steps: batches an epoch.
        history: logs of the finished epochs of a resumed training.
        monitor: the log whose highest value marks the best epoch.
        stage: name of one of several trainings in a row.
    """

    def __init__(
        self,
        console: Console | None,
        epochs: int,
        steps: int,
        history: Sequence[Mapping[str, float]] = (),
        monitor: str = "val_ua",
        stage: str = "",
    ):
        super().__init__()
        self.console = console or Console(quiet=True)
        self.epochs = epochs
        self.monitor = monitor
        self.prefix = f"{stage}  " if stage else ""
        self.history = list(history)
        self.started = 0.0
        self.durations: list[float] = []
        self.bar = Progress(
            TextColumn(f"{self.prefix}training"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  rate {task.fields[rate]:.1e}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(
            "training", total=epochs * steps, completed=len(history) * steps, rate=0.0
        )

    def __enter__(self) -> "EpochProgress":
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def on_epoch_begin(self, epoch, logs=None):
        """Keras hook."""
        self.started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Keras hook."""
        if self.bar.disable:
            return
        self.bar.update(self.task, advance=1, rate=self._learning_rate())

    def on_epoch_end(self, epoch, logs=None):
        """Keras hook."""
        self.history.append(logs)
        better = best_epoch(self.history, self.monitor) is logs
        self.durations.append(time.monotonic() - self.started)
        # The first one also builds the graph.
        usual = sum(self.durations[1:] or self.durations) / len(self.durations[1:] or [0])
        left = timedelta(seconds=round(usual * (self.epochs - epoch - 1)))
        self.console.print(
            f"{self.prefix}epoch {epoch + 1:>3}/{self.epochs}"
            f"  loss {logs['loss']:.3f}  UA {logs['ua']:.3f}"
            f"  validation loss {logs['val_loss']:.3f}  UA {logs['val_ua']:.3f}"
            f"  rate {self._learning_rate():.1e}"
            f"  {self.durations[-1]:.1f} s, {left} left{'  *' if better else ''}",
            highlight=False,
            soft_wrap=True,  # elsewhere than on a terminal an epoch stays one line
        )

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
