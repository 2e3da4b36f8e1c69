"""Every command, option, import and link of the documentation exists."""

import re

import pytest
from blocks import (
    REPOSITORY,
    Block,
    BlockError,
    Command,
    blocks_of,
    commands_in,
    commands_of,
    inline_commands,
    mark_of,
    pages,
    read_blocks,
)
from programs import complaint
from python_names import missing_names

from mmer_tf.recipe import shipped_recipes

PAGES = {page.relative_to(REPOSITORY).as_posix(): page for page in pages()}

BEAM = "python -m mmer_tf.prepare --corpus emodb --root x --runner beam --beam-options"

COMMANDS = ("audit", "demo", "evaluate", "export", "ladder", "predict", "prepare", "serve", "train")


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_marked(name: str):
    blocks = blocks_of(PAGES[name])
    wrong = [f"{block}: {mistake}" for block in blocks if (mistake := mark_of(block))]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_what_the_parsers_take(name: str):
    blocks = blocks_of(PAGES[name])
    files = {block.file: block.text for block in blocks if block.file}
    commands = [one for block in blocks if block.language == "bash" for one in commands_of(block)]
    commands += inline_commands(PAGES[name])
    assert_right(commands, files)


@pytest.mark.parametrize("name", PAGES)
def test_python_takes_names_that_exist(name: str):
    blocks = [block for block in blocks_of(PAGES[name]) if block.language == "python"]
    wrong = [f"{block}: {mistake}" for block in blocks if (mistake := missing_names(block.text))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("recipe", shipped_recipes())
def test_headers_of_recipes_show_commands_that_are_right(recipe: str):
    file = REPOSITORY / "configs" / f"{recipe}.yaml"
    header = file.read_text(encoding="utf-8").split("\nname:")[0]
    text = "\n".join(line.lstrip("# ") for line in header.splitlines())
    block = Block(f"configs/{recipe}.yaml", 1, "bash", "", text)
    assert_right([one for each in commands_in(block) for one in commands_of(each)], {})


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_are_right(command: str):
    module = __import__(f"mmer_tf.{command}", fromlist=["EXAMPLES"])
    block = Block(f"mmer_tf/{command}.py", 1, "bash", "", module.EXAMPLES)
    found = [one for each in commands_in(block) for one in commands_of(each)]
    assert found
    assert_right(found, {})


def test_extraction_finds_what_there_is():
    """Nothing above passes because nothing was found."""
    found = {name: blocks_of(page) for name, page in PAGES.items()}
    for name, page in PAGES.items():
        fences = re.findall(r"(?m)^ *```+.*", page.read_text(encoding="utf-8"))
        directives = sum("{" in fence for fence in fences)
        assert 2 * (len(found[name]) + directives) == len(fences), name
    bash = [block for blocks in found.values() for block in blocks if block.language == "bash"]
    silent = [str(block) for block in bash if not commands_of(block)]
    assert not silent and len(bash) >= 30
    assert any(block.is_run for block in bash)


PAGE = """# Title

```bash run
A=1 python -m mmer_tf.train --model gmu \\
    train.epochs=$A  # a comment
.venv/bin/python -m mmer_tf.audit --data DIR > answer.txt
```

- in a list:

  ```python skip=weights
  from mmer_tf.bundle import Bundle
  ```

```yaml file=mine.yaml
name: mine
```

```{toctree}
a_page
```
"""


def test_a_page_is_taken_apart():
    shell, code, file = read_blocks(PAGE, "page.md")
    assert (shell.language, shell.is_run, shell.line, shell.reason) == ("bash", True, 4, None)
    assert (code.language, code.reason, code.line) == ("python", "weights", 12)
    assert code.text == "from mmer_tf.bundle import Bundle\n"
    assert (file.language, file.file, file.text) == ("yaml", "mine.yaml", "name: mine\n")


def test_commands_are_read_as_the_shell_reads_them():
    train, audit = commands_of(read_blocks(PAGE, "page.md")[0])
    assert train.arguments[-2:] == ("gmu", "train.epochs=")
    assert audit.arguments == ("python", "-m", "mmer_tf.audit", "--data", "DIR")
    assert (train.line, audit.line) == (4, 6)
    curl = 'curl -d "{$(base64 -w0 a.wav)}" | python -m json.tool'
    text = f"export X=3\n{curl}\ncat <<'E'\nls\nE\nls $X &"
    found = commands_of(Block("page.md", 1, "bash", "run", text))
    programs = [(one.line, one.arguments) for one in found]
    assert sorted(programs) == [
        (2, ("base64", "-w0", "a.wav")),
        (2, ("curl", "-d", "{}")),
        (2, ("python", "-m", "json.tool")),
        (3, ("cat",)),
        (6, ("ls", "3")),
    ]
    with pytest.raises(BlockError, match=r"page\.md:1"):
        commands_of(Block("page.md", 1, "bash", "run", "echo 'open"))


@pytest.mark.parametrize(
    "line",
    [
        "ls one && ls two || ls three",
        "ls one; { ls two || ls three; }",
        "if ls one; then ls two; else ls three; fi",
        "ls one | ls two || true && ls three",
        "! ls one || ls two; ls three",
    ],
)
def test_commands_are_seen_whatever_they_hang_on(line: str):
    found = commands_of(Block("page.md", 1, "bash", "run", line))
    said = [one.arguments[1] for one in found if one.arguments[0] == "ls"]
    assert sorted(said) == ["one", "three", "two"]


@pytest.mark.parametrize(
    "text",
    [
        "```{code-block} bash\nls\n```",
        "```{note}\nls\n```",
        "text\n\n    ls\n",
        "- a list\n\n      ls\n",
        "```bash run fast\nls\n```",
    ],
)
def test_blocks_without_a_mark_are_refused(text: str):
    with pytest.raises(BlockError, match=r"page\.md:\d"):
        read_blocks(text, "page.md")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("python -m mmer_tf.train --modle gmu", "unrecognized arguments: --modle"),
        ("python -m mmer_tf.trian --model gmu", "No module named"),
        ("python -m mmer_tf.train --model gum", "gum"),
        ("python -m mmer_tf.train train.epoch=3", "train.epoch"),
        ("python -m mmer_tf.train --config mine.yaml train.epoch=3", "train.epoch"),
        ("python -m mmer_tf.train --config here.yaml", "no_such_field"),
        ("python -m mmer_tf.train train.lowest_learning_rate=1", "lowest_learning_rate"),
        ("python -m mmer_tf.train --protocol speakers", "invalid choice: 'speakers'"),
        ("python -m mmer_tf.prepare --corpus emdb --root x", "emdb"),
        (f"{BEAM} runer=FlinkRunner", "'runer'; did you mean 'runner'"),
        (f"{BEAM} runner=FlinkRuner", "did you mean 'FlinkRunner'"),
        ("python -m mmer_tf.export --run RUN --quantize int8", "--format tflite"),
        ("python -m mmer_tf.evaluate --robustness", "required"),
        ("python benchmarks/emodb.py --rot corpora/EmoDB", "--rot"),
        ("python benchmarks/emo.py", "benchmarks/emo.py"),
        ("python -c 'from mmer_tf.bundle import Bundel'", "Bundel"),
        ("python - < /dev/null; make tain", "tain"),
        ("docker compose --file docker/compse.yaml up", "docker/compse.yaml"),
        ("pip install 'mmer-tf[dem]'", "dem"),
        ("pip install --requirement requirements.txt", "requirements.txt"),
        ("pytest tests/brwser", "tests/brwser"),
        ("pyhton -m mmer_tf.train", "pyhton"),
    ],
)
def test_what_is_wrong_is_told(line: str, said: str):
    (*_, command) = commands_of(Block("page.md", 7, "bash", "run", line))
    assert said in (complaint(command, {"here.yaml": "no_such_field: 1"}) or "nothing")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import mmer_tf.bundel", "no module mmer_tf.bundel"),
        ("from mmer_tf.bundle import Bundle, nothing", "mmer_tf.bundle has no nothing"),
        ("for", "line 1"),
        ("import numpy as np\nfrom mmer_tf.models import api", None),
    ],
)
def test_what_is_wrong_in_python_is_told(code: str, said: str | None):
    assert missing_names(code) == said or said in missing_names(code)


@pytest.mark.parametrize(
    ("language", "mark", "right"),
    [
        ("bash", "run", True),
        ("bash", "skip=corpus", True),
        ("python", "file=part.py", True),
        ("text", "", True),
        ("bash", "", False),
        ("bash", "skip=lazy", False),
        ("", "", False),
        ("json", "run", False),
        ("klingon", "", False),
    ],
)
def test_marks(language: str, mark: str, right: bool):
    assert (mark_of(Block("page.md", 1, language, mark, "ls")) is None) == right


def assert_right(commands: list[Command], files: dict[str, str]) -> None:
    wrong = [f"{one}\n  {said}" for one in commands if (said := complaint(one, files))]
    assert not wrong, "\n".join(wrong)
