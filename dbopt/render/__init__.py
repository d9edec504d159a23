"""Values to text. The only user of rich, and the only place that knows the formats; it decides nothing else.

Nothing is imported here: import from the modules, inside the command's function: rich costs start-up.

    output.Format                       table | lines | json | csv | prometheus | nagios | markdown; a command declares
                                        those that it can write (dbopt.cli.frame), EVERYWHERE are those that each has
    output.Output                       where and how to write, decided once: `format`, `out`, `err` (Streams), `quiet`
    output.Output.detect(*, format: Format | None = None, color: bool = True, quiet: bool = False,
                         stdout: TextIO | None = None, stderr: TextIO | None = None,
                         environ: Mapping[str, str] | None = None) -> Output
                                        format None: table on a terminal, lines otherwise; color=False is --no-color
    output.Output.note(text: str)       a message on stderr, silent with quiet: `dbopt: text`
    output.Stream                       one stream: `file`, `terminal`, `live`, `color`, `width`;
                                        `.write(text)`, `.print(renderable)`, `.console()`
    escape.visible(text: str) -> str    control and bidi characters as escapes: one line that is safe on a terminal

    records.Column, records.write_records(output, command, key, columns, rows, *, more: Mapping | None = None)
                                        any list of rows in whichever format; stats, health, history build on this;
                                        `key` names the list in the JSON document, `more` is what else stands there

    error.format_error(error: Error) -> str            `dbopt: error: ...` + detail + hint, also a SpecError's findings
    error.write_error(output: Output, error: Error)    the same on stderr, coloured where wanted
    findings.write_findings(output, findings: Sequence[Finding], *, command: str = "lint", checked: str)
                                        `checked`: what was looked at, for people: "2 files, 78 indexes"
    plan.write_plan(output, plan: Plan, *, next_command: str | None = None)
                                        `next_command`: what to type to apply it; shown when there is something to do
    plan.plan_document(plan: Plan) -> dict[str, Any]   the JSON document (also what a plan file may show)
    events.reporter(output, *, rerun: str) -> Reporter `rerun`: the command to paste after a failure
    events.Reporter                     a context manager; `.handle(event: Event)` for each Event of `apply`; the Result
                                        event writes the result to stdout, everything before it goes to stderr
                                        (JSON: one event a line on stdout, each flushed)
    health.write_verdicts(output, verdicts: Sequence[Verdict], *, advice: bool = False, all_checks: bool = False)
    health_checks.write_list(output, checks), health_checks.write_explanation(output, check, *, sql: bool = False)
    workload.write_workloads(output, found: Sequence[tuple[About, Workload]], *, several: bool, literals: bool,
                             call: Callable[..., str] | None, sort: Sort = Sort.TOTAL, event: bool = False)
                                        `call`: a call of slow-queries with these words, as it can be pasted
    statement.write_statement(output, about: About, detail: Detail, *, literals: bool = False)
    watch.watch(output, seconds, look)  `look() -> verdicts`, again and again until KeyboardInterrupt
    config.write_config(output, settings: Iterable[tuple[str, object, str]])   (name, value, origin); mask secrets first

    with events.reporter(output, rerun="dbopt optimize -d app") as report:
        for event in apply(plan, ...):
            report.handle(event)

stdout is data and is always complete; `quiet` silences stderr except for errors and failures.
"""
