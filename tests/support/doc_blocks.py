"""The code blocks of the documentation, and what can be checked of them without running them."""

import contextlib
import io
import itertools
import re
import shlex
import subprocess
import textwrap
from dataclasses import dataclass

from st_spark.cli.main import main as st_spark
from tests.support.paths import ROOT

# The pages that have blocks to run; the README is the first page that anybody reads.
PAGES = ("README.md", *sorted(page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/**/*.md")))
# Languages that run, and languages that are only shown.
RUN = ("python", "sql", "bash")
SHOWN = ("text", "properties", "ini", "json")
_FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- (?:not run: (?P<reason>[^\n]+)|fails: (?P<fails>[^\n]+)) -->\n(?P=indent))?"
    r"```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
# The script that spark-submit runs in place of `st-spark`; see docs/run_it_on.md.
APPLICATION = "st_spark_job.py"


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: The file, relative to the repository.
        line: Its first line of code, from 1.
        language: The word after the fence.
        code: The lines inside.
        reason: Why it cannot run in a test, from the comment above it; None for blocks that run.
        fails: What its error says, from the comment above a block that is to fail; None for others.
        output: What the page shows as its output, in a text block right below; None if nothing is shown.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str | None = None
    fails: str | None = None
    output: str | None = None

    def __str__(self) -> str:
        """Return where the block is."""
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    made = []
    for place, match in enumerate(found):
        after = found[place + 1] if place + 1 < len(found) else None
        shown = after is not None and after["language"] == "text" and not text[match.end() : after.start()].strip()
        output = after["code"] if after is not None and shown else None
        line = text.count("\n", 0, match.start("code")) + 1
        made.append(
            Block(
                page, line, match["language"], textwrap.dedent(match["code"]), match["reason"], match["fails"], output
            )
        )
    return made


def runs(block: Block) -> bool:
    """Return whether a test runs the block."""
    return block.language in RUN and block.reason is None


def problems(block: Block) -> list[str]:
    """Return the problems of a block that can be found without running it."""
    if block.language not in (*RUN, *SHOWN):
        return [f"{block}: a block is one of {', '.join((*RUN, *SHOWN))}, not {block.language!r}"]
    if block.language == "python":
        compile(block.code, str(block), "exec")
    return _shell_problems(block) if block.language == "bash" else []


def _shell_problems(block: Block) -> list[str]:
    checked = subprocess.run(["bash", "-n", "-c", block.code], capture_output=True, text=True, check=False)
    found = [f"{block}: {checked.stderr.strip()}"] if checked.returncode else []
    for command in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(command, comments=True)
        found += [f"{block}: {problem}" for problem in (*_unknown_flags(words), *_unknown_settings(words))]
    return found


def _unknown_flags(words: list[str]) -> list[str]:
    """Return the options of our commands that do not exist."""
    ours = {"st-spark": "st-spark", "spark-submit": APPLICATION}.get(words[0] if words else "")
    names = [place for place, word in enumerate(words) if word.rpartition("/")[2] == ours]
    if not names or len(words) == names[-1] + 1 or words[names[-1] + 1].startswith("-"):
        return []
    command = words[names[-1] + 1]
    known = _flags(command)
    given = [word.partition("=")[0] for word in words[names[-1] + 2 :] if word.startswith("-") and len(word) > 1]
    if not known:
        return [f"there is no command {command!r}"]
    return [f"st-spark {command} has no option {flag}" for flag in given if flag not in known]


def _flags(command: str) -> set[str]:
    """Return the options of a command, as its help lists them; an empty set if there is no such command."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = st_spark([command, "--help"])
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", output.getvalue())) if code == 0 else set()


def _unknown_settings(words: list[str]) -> list[str]:
    """Return the settings after --conf that Spark does not have."""
    given = [after for word, after in itertools.pairwise(words) if word == "--conf"]
    return [f"{setting} is no setting of Spark" for setting in given if not re.match(r"spark\.[\w.]+=", setting)]
