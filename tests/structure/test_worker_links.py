#!/usr/bin/env python3
"""The worker cannot reach a database: fails if the built worker needs, holds or is compiled with
anything of Postgres.

usage: test_worker_links.py SOURCE_DIR BUILD_DIR

Three looks, since each alone can be fooled: a library that is linked but not called is dropped from
the list of needed ones; one that is linked statically never was on it; a header alone links nothing
today.
"""

import json
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The client's header, and everything that Postgres installs beside it.
FORBIDDEN_HEADER = re.compile(r"(^|/)(libpq[^/]*\.h|pg_config[^/]*\.h|postgres_ext\.h)$|/postgresql/")
FORBIDDEN_SYMBOL = re.compile(r"\b(PQ(connect|exec|send|prepare|finish|setdb|put|get)\w*|pg_pipeline_\w+|statements_load)\b")


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def binary_problems(worker: Path) -> list[str]:
    problems = []
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", str(worker)))
    loaded = re.findall(r"^\s*(\S+)", output("ldd", str(worker)), re.MULTILINE)
    if not needed:
        problems.append(f"{worker}: no needed libraries found; is it a dynamic executable?")
    for library in sorted(set(needed + loaded)):
        if re.search(r"libpq|postgres", library):
            problems.append(f"{worker}: needs {library}")
    symbols = set(FORBIDDEN_SYMBOL.findall(output("readelf", "-sW", str(worker))))
    problems += [f"{worker}: holds {symbol[0]}" for symbol in sorted(symbols)]
    return problems


def included_by(command: dict) -> list[str]:
    """Everything that one translation unit includes, from the compiler itself."""
    words = shlex.split(command["command"])
    kept, skip = [], False
    for word in words:
        if skip or word in ("-c", "-MD", "-MMD"):
            skip = False
        elif word in ("-o", "-MF", "-MT", "-MQ"):
            skip = True
        else:
            kept.append(word)
    rule = subprocess.run(
        [*kept, "-M"], cwd=command["directory"], check=True, capture_output=True, text=True
    ).stdout
    paths = rule.split(":", 1)[1].replace("\\\n", " ").split()
    return [str((Path(command["directory"]) / path).resolve()) for path in paths]


def header_problems(source: Path, commands: list[dict]) -> list[str]:
    """Of the worker's own files and those of the libraries it links."""
    closure = [source / "worker", source / "common" / "base", source / "common" / "redis"]
    units = [one for one in commands if any(Path(one["file"]).is_relative_to(part) for part in closure)]
    # The unit tests compile the same files again.
    units = [one for one in units if not one.get("output", "").startswith("tests/")]
    if not any(Path(one["file"]).is_relative_to(closure[0]) for one in units):
        return [f"no file of {closure[0]} is compiled here"]
    problems = []
    with ThreadPoolExecutor(2) as pool:
        for unit, includes in zip(units, pool.map(included_by, units)):
            bad = [path for path in includes if FORBIDDEN_HEADER.search(path)]
            bad += [path for path in includes if Path(path).is_relative_to(source / "common" / "pg")]
            problems += [f"{unit['file']}: includes {path}" for path in bad]
    return problems


def main() -> int:
    source, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    worker = build / "bin" / "worker"
    if not worker.exists():
        print(f"{worker} does not exist: build the worker first")
        return 1
    commands = json.loads((build / "compile_commands.json").read_text())
    problems = binary_problems(worker) + header_problems(source, commands)
    print("\n".join(problems) or "the worker reaches no database")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
