"""`train --find-lr`: which learning rate a recipe should take, told before it trains."""

from rich.text import Text

from mmer_tf import cli
from mmer_tf.evaluation.plots import save_figure
from mmer_tf.evaluation.report import write_json
from mmer_tf.fitting import try_learning_rates
from mmer_tf.plan import Plan, RunError, trainings
from mmer_tf.run_files import SPLIT
from mmer_tf.training.learning_rate_finder import UPDATES, RangeTest, draw_range_test
from mmer_tf.untrained import make_branch, make_bundle, make_tokenizer


def report_learning_rate(plan: Plan) -> RangeTest:
    """Test the learning rates of a plan's first fit, and write what they do beside its run.

    A recipe in stages is tested in its first one: what the later ones start from is not there
    yet. The training split alone is read.

    Raises:
        RunError: the folder `<run>-find-lr` is a run.
        RangeTestError: the loss never falls.
    """
    folder = plan.folder.with_name(f"{plan.folder.name}-find-lr")
    if (folder / SPLIT).is_file():
        raise RunError(f"{folder} is a run, not a learning-rate test; choose another --run")
    training = trainings(plan)[0]
    tokenizer = make_tokenizer(plan)
    if training.alone:
        bundle = make_branch(plan, training, tokenizer)
    else:
        bundle = make_bundle(plan, plan.recipe, plan.split.train, tokenizer)
    with cli.progress_bar("testing learning rates", UPDATES) as advance:
        test = try_learning_rates(plan, bundle, training, advance)
    field = "stages.0.train.learning_rate" if training.name else "train.learning_rate"
    override = f"{field}={test.valley:.1e}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        {
            "run": plan.folder.name,
            "stage": training.name,
            "override": override,
            **test.to_mapping(),
        },
        folder / "learning_rate.json",
    )
    title = f"{plan.folder.name} {training.name}".strip()
    save_figure(draw_range_test(test, title), folder / "learning_rate.png")
    advice = f"try {override} (the loss falls fastest at {test.steepest:.1e})"
    cli.show_result(Text(advice), folder)
    return test
