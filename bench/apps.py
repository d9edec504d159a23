"""What the guides of the two sample applications promised, measured: `make bench-apps`.

Both schemas, before and after `dbopt optimize` with their specs: access paths, users at once, the cache, the load on
the server. The document of a run (--result) is what docs/benchmarks.md is made from (--pages). A promise that is missed
is a figure like any other: the exit code is 0.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from _measure import note, options

from dbopt.demo import app as apps
from dbopt.demo import schema, walkthrough
from dbopt.demo.proof.judge import judge
from dbopt.demo.proof.values import FULL, SHORT
from dbopt.render import benchmarks_page
from dbopt.render.output import Output
from dbopt.render.proof import COLUMNS, proof_document, summary, verdict_rows
from dbopt.render.table import table
from dbopt.units import format_duration

if TYPE_CHECKING:
    from dbopt.demo.proof.values import Evidence, Scale


def main() -> None:
    chosen = options(
        __doc__,
        flags={"short": "as `dbopt demo --proof`: seconds instead of minutes"},
        paths={"result": "file for the document of the run", "pages": f"folder for {benchmarks_page.FILE_NAME}"},
        rows=(100_000, "rows of the largest tables"),
    )
    scale = SHORT if chosen.short else FULL
    started, taken_at, load = time.monotonic(), datetime.now(UTC), os.getloadavg()[0]
    found = [measured(name, chosen.rows, scale) for name in schema.APPS]
    verdicts = judge(found)
    seconds = time.monotonic() - started
    document = proof_document(found, verdicts, taken_at=taken_at, seconds=seconds, load=load)
    text = json.dumps(document, indent=2, default=datetime.isoformat)
    if chosen.result is not None:
        chosen.result.write_text(text + "\n", encoding="utf-8")
    if chosen.pages is not None:
        (chosen.pages / benchmarks_page.FILE_NAME).write_text(benchmarks_page.page(json.loads(text)), encoding="utf-8")
    if chosen.json:
        print(text)
        return
    output = Output.detect()
    output.out.print(table(COLUMNS, verdict_rows(document["promises"])))
    print(f"apps: {summary(document['promises'])} {format_duration(seconds)} in all.")


def measured(name: str, rows: int, scale: Scale) -> Evidence:
    evidence = None
    for event in walkthrough.run(apps.get(name), rows, proof=scale):
        if isinstance(event, walkthrough.StageFinished):
            note(f"{name}: {event.what}: {format_duration(event.seconds)}")
        if isinstance(event, walkthrough.Finished):
            evidence = event.evidence
    assert evidence is not None  # asked for
    return evidence


if __name__ == "__main__":
    main()
