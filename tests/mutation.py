"""Mutation testing: small changes of the code that decides what is right, each of which a test must notice.

``python -m tests.mutation`` makes the changes that `tests/mutation.toml` asks for, one at a time, in a copy
of this tree; the kernels run as plain Python. It ends with status 1 if a change survived that is not listed
there as making no difference. Needs ``cosmic-ray``, the extra `mutation`.
"""

import argparse
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def mutants(part, operators):
    """All changes of some functions, always in the same order."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import WorkDB, use_db

    with tempfile.TemporaryDirectory() as folder, use_db(f"{folder}/session", WorkDB.Mode.create) as session:
        init(part["modules"], session, {})
        found = [mutation for item in session.work_items for mutation in item.mutations]
    wanted = set(part["functions"])
    missing = wanted - {mutation.definition_name for mutation in found}
    if missing:
        raise SystemExit(f"tests/mutation.toml: there is nothing to change in {part['modules']}: {missing}")
    some = [m for m in found if m.definition_name in wanted and re.fullmatch(operators, m.operator_name)]
    return sorted(some, key=lambda m: (str(m.module_path), m.start_pos, m.operator_name, m.occurrence))


def changed_lines(diff):
    """The line that was, and the one that is: without indentation."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return tuple("".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")


def main(arguments):
    """Run, and print what survives."""
    from cosmic_ray.mutating import mutate_and_test
    from cosmic_ray.testing import run_tests
    from cosmic_ray.work_item import TestOutcome

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("parts", nargs="*", help="names of parts in tests/mutation.toml; all by default")
    parser.add_argument("--all", action="store_true", help="every change, not a sample of each part")
    options = parser.parse_args(arguments)
    settings = tomllib.loads((ROOT / "tests" / "mutation.toml").read_text(encoding="utf-8"))
    harmless = {(entry["was"], entry["becomes"]) for entry in settings["harmless"]}
    unknown = set(options.parts) - set(settings["part"])
    if unknown:
        parser.error(f"unknown parts {sorted(unknown)}; there are {sorted(settings['part'])}")

    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
        os.chdir(copy)
        os.environ |= {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in options.parts or settings["part"]:
            part = settings["part"][name]
            pytest = f"{shlex.quote(sys.executable)} -m pytest -x -q -p no:cacheprovider"
            command = f"sh -c {shlex.quote(' && '.join(f'{pytest} {tests}' for tests in part['tests']))}"
            outcome, output = run_tests(command, settings["timeout"])
            if outcome is not TestOutcome.SURVIVED:
                raise SystemExit(f"{name}: the tests fail, or take too long, without any change\n{output}")
            every = mutants(part, settings["operators"])
            chosen = every
            if not options.all and part.get("sample", len(every)) < len(every):
                chosen = random.Random(settings["seed"]).sample(every, part["sample"])
            begun, killed, same = time.monotonic(), 0, 0
            for number, mutation in enumerate(chosen, 1):
                result = mutate_and_test([mutation], command, settings["timeout"])
                if result.is_killed:
                    killed += 1
                    continue
                was, becomes = changed_lines(result.diff)
                if (was, becomes) in harmless:
                    same += 1
                    continue
                survivors.append(name)
                line = mutation.start_pos[0]
                print(f"{number}: {mutation.module_path}:{line} {mutation.definition_name}", flush=True)
                print(f"  was     {was}\n  becomes {becomes}", flush=True)
            print(
                f"{name}: {killed} of {len(chosen)} noticed, {same} make no difference, "
                f"{len(chosen) - killed - same} survived ({len(every)} in all; "
                f"{(time.monotonic() - begun) / 60:.0f} min)",
                flush=True,
            )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
