#!/usr/bin/env python3
"""The structural tests must be able to fail: each rule is tried on a tree that breaks it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import c_text
import test_layering
import test_worker_links

CLEAN = {
    "common/base/log.c": '#include "common/base/log.h"\n#include <stdio.h>\n',
    "common/base/log.h": "",
    "common/redis/keys.c": '#include <hiredis/hiredis.h>\n#include "common/base/log.h"\nchar *k = "rf:%s:call:";\n',
    "common/pg/pg.c": "#include <libpq-fe.h>\n",
    "common/pg/pg.h": "",
    "common/http/client.c": "#include <curl/curl.h>\n",
    "worker/call.c": '#include "call.h"\n#include "common/redis/keys.h"\n// "delete from x"\n',
    "worker/call.h": "",
    "warmer/join.c": '#include "common/pg/pg.h"\n',
    "warmer/join.h": "",
    "flusher/batch.c": 'const char *words[] = {"SELECT", "update", "commit", "begin to speak", "the call: ended", "set"};\n',
}

BROKEN = [
    ("common/base/log.c", '#include "worker/call.h"', "includes worker/call.h"),
    ("common/base/log.c", "#  include <hiredis/hiredis.h>", "includes hiredis/hiredis.h"),
    ("common/base/log.c", "#include <libpq-fe.h>", "includes libpq-fe.h"),
    ("common/base/log.c", '#include "../pg/pg.h"', "includes common/pg/pg.h"),
    ("common/redis/keys.c", '#include "common/pg/pg.h"', "includes common/pg/pg.h"),
    ("common/pg/pg.c", "#include <hiredis/async.h>", "includes hiredis/async.h"),
    ("common/http/client.c", '#include "common/pg/pg.h"', "includes common/pg/pg.h"),
    ("worker/call.c", '#include "warmer/join.h"', "includes warmer/join.h"),
    ("worker/call.h", '#include "../warmer/join.h"', "includes warmer/join.h"),
    ("worker/call.c", "#include <postgresql/libpq-fe.h>", "includes postgresql/libpq-fe.h"),
    ("worker/call.c", '#include "common/pg/pg.h"', "includes common/pg/pg.h"),
    ("flusher/batch.c", '#include "worker/call.h"', "includes worker/call.h"),
    ("warmer/join.c", 'q("select id\\n"\n  "from call_log");', "warmer/join.c:2: SQL"),
    ("warmer/join.c", 'q("SELECT pg_sleep(1)");', "SQL"),
    ("warmer/join.c", 'q("  insert " /* split */ "into turn values");', "SQL"),
    ("flusher/batch.c", 'q("truncate table turn");', "SQL"),
    ("flusher/batch.c", 'q("\\n  Update call_log\\n set x = 1");', "SQL"),
    ("flusher/batch.c", 'q("with moved as (");', "SQL"),
    ("worker/call.c", 'k("rf:{p%d}:live");', "a Redis key"),
    ("worker/call.c", 'k("%s:call:%s");', "a Redis key"),
    ("warmer/join.c", 'k("%s:session");', "a Redis key"),
]


def tree(directory: str, path: str = "", line: str = "") -> Path:
    root = Path(directory)
    for name, text in CLEAN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + line + "\n" if name == path else text)
    return root


class Layering(unittest.TestCase):
    def test_clean_tree(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(test_layering.check(tree(directory)), [])

    def test_each_breach_is_found(self):
        for path, line, said in BROKEN:
            with self.subTest(path=path, line=line), tempfile.TemporaryDirectory() as directory:
                problems = test_layering.check(tree(directory, path, line))
                self.assertTrue(problems and all(said in one and path in one for one in problems), problems)

    def test_empty_tree(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(len(test_layering.check(Path(directory))), 4)


class Strings(unittest.TestCase):
    def test_strings(self):
        text = 'a("x" /* "no" */ "y"); // "no"\nb(\'"\', "say \\"z\\""); c("1", "2");\n#include "no.h"\n'
        self.assertEqual(c_text.strings(text), [(1, "xy"), (2, 'say \\"z\\"'), (2, "1"), (2, "2")])


class WorkerLinks(unittest.TestCase):
    """With the compiler of this machine, on a worker of one file."""

    def problems(self, source: str, *link: str) -> str:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory).resolve()
            for part in ("worker", "common/pg", "bin"):
                (root / part).mkdir(parents=True)
            (root / "common/pg/pg.h").write_text("")
            (root / "worker/main.c").write_text(source)
            flags = f"-I{root} -I/usr/include/postgresql"
            compile_it = f"cc {flags} -o main.o -c {root}/worker/main.c"
            subprocess.run(compile_it.split(), cwd=root, check=True)
            subprocess.run(["cc", "-o", "bin/worker", "main.o", *link], cwd=root, check=True)
            command = {"directory": str(root), "command": compile_it, "file": f"{root}/worker/main.c"}
            found = test_worker_links.binary_problems(root / "bin/worker")
            found += test_worker_links.header_problems(root, [command])
            return "\n".join(found)

    def test_clean(self):
        self.assertEqual(self.problems("int main(void) { return 0; }\n"), "")

    def test_linked(self):
        said = self.problems("int main(void) { return 0; }\n", "-Wl,--no-as-needed", "-lpq")
        self.assertIn("needs libpq.so", said)

    def test_header_only(self):
        self.assertIn("libpq-fe.h", self.problems("#include <libpq-fe.h>\nint main(void) { return 0; }\n"))
        self.assertIn("common/pg/pg.h", self.problems('#include "common/pg/pg.h"\nint main(void) { return 0; }\n'))

    def test_compiled_in(self):
        said = self.problems("int PQexecParams(void) { return 0; }\nint main(void) { return PQexecParams(); }\n")
        self.assertIn("holds PQexecParams", said)

    def test_nothing_compiled(self):
        self.assertIn("no file of", "\n".join(test_worker_links.header_problems(Path("/src"), [])))

    def test_missing_binary(self):
        script = Path(test_worker_links.__file__)
        ran = subprocess.run([sys.executable, script, "/src", "/nowhere"], capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stdout), (1, "/nowhere/bin/worker does not exist: build the worker first\n"))


if __name__ == "__main__":
    unittest.main()
