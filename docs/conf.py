"""The documentation as a site: `make docs`. What is generated here is generated nowhere else.

Pages are Markdown that reads on its own, too. Two comments in them are replaced:
`<!-- modules PACKAGE … -->` by the reference of the modules' docstrings, and `<!-- commands -->` by
what `--help` says of every command.
"""

import importlib
import os
import pkgutil
import re
from importlib import metadata

from pygments.lexers.special import TextLexer
from sphinx.util import inspect

from mmer_tf import cli

os.environ["COLUMNS"] = "88"  # the width of --help
cli.silence_libraries(verbose=False)
cli.import_tensorflow()

project = "mmer_tf"
author = "the authors of mmer_tf"
version = release = metadata.version("mmer-tf")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"mmer_tf {version}"

myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook holds what it printed; a test executes it

default_role = "code"  # docstrings write `name` as Markdown does
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "show-inheritance": True,
    "ignore-module-all": True,  # a name is told where it is defined
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_custom_sections = ["Call"]
python_maximum_signature_line_length = 88

COMMANDS = ("prepare", "audit", "train", "ladder", "evaluate", "predict", "export", "serve", "demo")


def setup(app):
    """Connect what is generated; called by Sphinx."""
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", _generate)
    app.connect("autodoc-process-signature", _own_signature)
    app.connect("autodoc-process-docstring", _open_call_sections, priority=400)  # before napoleon


def _generate(app, docname: str, source: list[str]) -> None:
    """Fill in the reference, and let links that leave the folder lead to a copy of the file."""
    text = re.sub(r"<!-- modules (.+?) -->", lambda m: _modules(m[1].split()), source[0])
    text = text.replace("<!-- commands -->", _commands() if "<!-- commands -->" in text else "")
    folder = (app.srcdir / docname).parent

    def lead(link: re.Match[str]) -> str:
        inside = (folder / link[1]).resolve().is_relative_to(app.srcdir)
        return link[0] if inside else f"](path:{link[1]})"

    source[0] = re.sub(r"\]\((\.\./[^)#]+)(#[^)]*)?\)", lead, text)


def _modules(packages: list[str]) -> str:
    """A section for each module; a package stands before what it holds."""
    names = []
    for package in packages:
        paths = getattr(importlib.import_module(package), "__path__", None)
        names.append(package)
        if paths:
            names += (module.name for module in pkgutil.walk_packages(paths, f"{package}."))
    return "\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names
    )


def _commands() -> str:
    """What every command says of itself."""
    sections = []
    for name in COMMANDS:
        parser = importlib.import_module(f"mmer_tf.{name}").make_parser()
        sections.append(f"## {name}\n\n```text\n{parser.format_help()}```\n")
    return "\n".join(sections)


def _own_signature(app, what, name, obj, options, signature, returns):
    """Layers of Keras declare a `__new__` that hides what their constructors take."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    own = inspect.signature(obj.__init__, bound_method=True)
    text = inspect.stringify_signature(
        own, show_return_annotation=False, unqualified_typehints=True
    )
    return text, returns


def _open_call_sections(app, what, name, obj, options, lines: list[str]) -> None:
    """`Call: a -> b` fits a line in a docstring; napoleon wants the content below its title."""
    lines[:] = [
        part
        for line in lines
        for part in (("Call:", "    " + line[6:]) if line.startswith("Call: ") else (line,))
    ]
