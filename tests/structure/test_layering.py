#!/usr/bin/env python3
"""Arrows between the parts point down and never sideways; SQL and Redis keys have one home.

usage: test_layering.py SOURCE_DIR
"""

import re
import sys
from pathlib import Path
from typing import Iterator

import c_text

PROGRAMS = ("worker", "warmer", "flusher")
HIREDIS = re.compile(r"^(hiredis/|hiredis\.h)")
LIBPQ = re.compile(r"^(libpq-fe\.h|libpq/|postgresql/|pg_config|postgres)")

# A statement has its second keyword too: SELECT alone is also a command of Redis. Not meant are the
# words that bound a transaction (begin, commit, rollback, savepoint): they name nothing of a schema,
# and nobody may override them.
SQL = re.compile(
    r"""^\s*(?:
        select\s+.*\bfrom\b | select\s+[\w.]+\( | with\s+\w+.*\bas\s*\( | values\s*\(
      | insert\s+into\b | update\s+\S+\s+set\b | delete\s+from\b | merge\s+into\b | copy\s+\S+\s+(from|to)\b
      | (create|alter|drop|truncate)\s+(table|index|schema|type|extension|function|view|or\s+replace)\b
      | listen\s+\w+\s*;?\s*$ | set\s+(local\s+|session\s+)?\w+\s*(=|to)\s
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
KEY = re.compile(r"^rf:|:call:|\{p(%|\d)|:(session|writes|events|live|ended|flushed|dead)$")


def sources(root: Path, *parts: str) -> Iterator[tuple[str, str]]:
    """(path below root, text) of the C files below these directories."""
    for part in parts:
        for path in sorted((root / part).rglob("*.[ch]")):
            yield str(path.relative_to(root)), path.read_text(encoding="utf-8")


def included(name: str, text: str, root: Path) -> Iterator[str]:
    """Paths below root, where the file is ours (a bare name is a neighbour); other names as they are."""
    for target in c_text.includes(text):
        neighbour = (root / name).parent / target
        if neighbour.exists() and neighbour.resolve().is_relative_to(root.resolve()):
            yield str(neighbour.resolve().relative_to(root.resolve()))
        else:
            yield target


def include_problems(root: Path) -> list[str]:
    # Who may not include what.
    rules = [("common", re.compile("^(" + "|".join(PROGRAMS) + ")/"))]
    for program in PROGRAMS:
        others = [other for other in PROGRAMS if other != program]
        rules.append((program, re.compile("^(" + "|".join(others) + ")/")))
    rules += [
        ("common/base", re.compile("^common/(redis|pg|http)/")),
        ("common/base", HIREDIS),
        ("common/base", LIBPQ),
        ("common/redis", re.compile("^common/pg/")),
        ("common/redis", LIBPQ),
        ("common/pg", re.compile("^common/redis/")),
        ("common/http", re.compile("^common/(redis|pg)/")),
        ("common/http", HIREDIS),
        ("common/http", LIBPQ),
        ("common/pg", HIREDIS),
        ("worker", re.compile("^common/pg/")),
        ("worker", LIBPQ),
    ]
    return [
        f"{name}: includes {target}"
        for part, forbidden in rules
        for name, text in sources(root, part)
        for target in included(name, text, root)
        if forbidden.search(target)
    ]


def string_problems(root: Path) -> list[str]:
    problems = []
    for name, text in sources(root, "common", *PROGRAMS):
        for line, content in c_text.strings(text):
            if SQL.search(re.sub(r"\\[nrt]", " ", content)):
                problems.append(f"{name}:{line}: SQL in a C string (it belongs into a .sql file): {content[:60]}")
            if KEY.search(content) and not name.startswith("common/redis/"):
                problems.append(f"{name}:{line}: a Redis key (common/redis/keys.h spells them): {content[:60]}")
    return problems


def check(root: Path) -> list[str]:
    missing = [part for part in ("common", *PROGRAMS) if not any(sources(root, part))]
    return [f"{part}: no C files" for part in missing] + include_problems(root) + string_problems(root)


def main() -> int:
    problems = check(Path(sys.argv[1]))
    print("\n".join(problems) or "the layers hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
