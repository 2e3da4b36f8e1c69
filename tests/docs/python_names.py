"""Whether Python code can be read, and what it takes from this package is there."""

import ast
from pathlib import Path

from blocks import REPOSITORY


def missing_names(code: str) -> str | None:
    """One sentence on what is wrong with some code; None where nothing is.

    Modules are read and not imported: most of them would load TensorFlow.
    """
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [(name.name, None) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            wanted = [(node.module, name.name) for name in node.names]
        else:
            continue
        for module, name in wanted:
            if module.split(".")[0] == "mmer_tf" and not _has(module, name):
                return f"{module} has no {name}" if name else f"there is no module {module}"
    return None


def _has(module: str, name: str | None) -> bool:
    file = _file_of(module)
    if file is None:
        return False
    if name is None or _file_of(f"{module}.{name}"):
        return True
    return name in _defined(ast.parse(file.read_text(encoding="utf-8")).body)


def _file_of(module: str) -> Path | None:
    path = REPOSITORY.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _defined(statements: list[ast.stmt]) -> set[str]:
    """Names that a module has once its statements have run."""
    found: set[str] = set()
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        elif isinstance(node, ast.If | ast.Try):
            found |= _defined(node.body)
    return found
