"""What `dbopt --help` costs beside the imports that no program with typer and rich can avoid."""

from __future__ import annotations

from _measure import DBOPT, PYTHON, Figure, in_turns, median, options, report

FLOOR = "import typer, rich.console"
COMMANDS = {
    FLOOR: [PYTHON, "-c", FLOOR],
    "dbopt --help": [DBOPT, "--help"],
    "python -m dbopt --help": [PYTHON, "-m", "dbopt", "--help"],
    "dbopt plan --help": [DBOPT, "plan", "--help"],
}
WANTED = {
    "dbopt --help": 1.5,
    "python -m dbopt --help": 1.5,
    "dbopt plan --help": None,
}  # the most, of the imports' time


def main() -> None:
    chosen = options(__doc__, runs=(21, "calls of each command"))
    runs = in_turns(COMMANDS, chosen.runs)
    floor = median(runs[FLOOR], "seconds")
    floor_cpu = median(runs[FLOOR], "cpu_seconds")
    figures = [Figure(FLOOR, floor * 1000, "ms")]
    for name, wanted in WANTED.items():
        seconds, cpu = median(runs[name], "seconds"), median(runs[name], "cpu_seconds")
        figures += [
            Figure(name, seconds * 1000, "ms"),
            Figure(f"{name} / imports", seconds / floor, "times", wanted),
            Figure(f"{name} / imports, CPU time", cpu / floor_cpu, "times"),
        ]
    report("help", figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
