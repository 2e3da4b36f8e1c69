"""Pictures of results, one kind a file: each `draw_…` makes a figure, `save_figure` writes it."""

from mmer_tf.evaluation.plots.attention import draw_attention
from mmer_tf.evaluation.plots.bars import draw_classes, draw_groups
from mmer_tf.evaluation.plots.blocks import draw_block
from mmer_tf.evaluation.plots.confusion import draw_confusion_matrix
from mmer_tf.evaluation.plots.figure import save_figure
from mmer_tf.evaluation.plots.gate import draw_gate
from mmer_tf.evaluation.plots.reliability import draw_reliability
from mmer_tf.evaluation.plots.robustness import draw_robustness
from mmer_tf.evaluation.plots.training import draw_training

__all__ = [
    "draw_attention",
    "draw_block",
    "draw_classes",
    "draw_confusion_matrix",
    "draw_gate",
    "draw_groups",
    "draw_reliability",
    "draw_robustness",
    "draw_training",
    "save_figure",
]
