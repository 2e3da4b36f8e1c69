"""The side of a contest that works: loads once, answers, and is timed whenever it is asked.

A contender's script ends with `contend(MAKERS)` and is started by contest.py, in whatever
environment the opponent needs, as `python SCRIPT NAME WORK`. Needs numpy alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Work:
    """What one contender does.

    Args:
        run: one round of the work; what it returns is not looked at.
        answers: name -> array, compared between the contenders before anything is timed.
        facts: what else a line may tell, as the bytes of a file; JSON values. Read again after
            each round, which may have changed them.
    """

    run: Callable[[], object]
    answers: Mapping[str, np.ndarray]
    facts: Mapping[str, object]


Maker = Callable[[Path], Work]
"""From the folder in which the driver left the inputs to the work."""


def contend(makers: Mapping[str, Maker]) -> None:
    """Make the work that the command line names, and do one round a line of standard input.

    Answers each line with one of JSON: `{"facts": …}` when it is ready, then for every round the
    seconds that it took, and the facts again. Whatever libraries
    print goes to standard error.
    """
    name, folder = sys.argv[1], Path(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work = makers[name](folder)
    np.savez(folder / f"{name}.npz", **work.answers)

    def reply(**values: object) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    reply(facts=dict(work.facts))
    for _ in sys.stdin:
        started = time.perf_counter()
        work.run()
        reply(seconds=time.perf_counter() - started, facts=dict(work.facts))
