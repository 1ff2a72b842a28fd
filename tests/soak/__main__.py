"""`python -m soak`, in this folder's parent: runs programs and prints the seed of each that broke a guarantee."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from os import cpu_count
from time import monotonic

from systems import STAND_IN, played

from soak.run import make_program, play_all

BATCH = 100


def main() -> int:
    """Run the programs; return 1 if any broke a guarantee."""
    parser = argparse.ArgumentParser(prog="soak", description="Play random programs of faults.")
    parser.add_argument("--seed", type=int, help="the first program's seed; default: a random one")
    parser.add_argument("--programs", type=int, default=10_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=cpu_count() or 1, help="processes; default: %(default)s")
    parser.add_argument("--portable", action="store_true", help="with what Windows has alone; see other_systems")
    arguments = parser.parse_args()
    if arguments.portable and STAND_IN is None:
        again = [sys.executable, *sys.orig_argv[1:]]
        return subprocess.run(again, env=played("win32"), check=False).returncode
    first = random.randrange(10**9) if arguments.seed is None else arguments.seed
    print(f"{arguments.programs} programs from seed {first}")
    if arguments.programs == 1:
        print(make_program(first))
    batches = [
        range(n, min(n + BATCH, first + arguments.programs)) for n in range(first, first + arguments.programs, BATCH)
    ]
    tally: Counter[str] = Counter()
    broken, began = 0, monotonic()
    with ProcessPoolExecutor(min(arguments.jobs, len(batches))) as pool:
        for counted, violations in pool.map(play_all, batches):
            tally += counted
            broken += len(violations)
            for seed, problems in violations.items():
                print(f"\nseed {seed}: {make_program(seed)}", *problems, sep="\n  ")
                print(f"  again: nox -s soak -- --seed {seed} --programs 1{' --portable' * bool(STAND_IN)}", flush=True)
    seconds = monotonic() - began
    print(f"\n{arguments.programs} programs in {seconds:.0f} s ({arguments.programs / seconds:.0f} a second): ", end="")
    print(f"{broken} broke a promise")
    print(", ".join(f"{name} {count}" for name, count in tally.most_common()))
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
