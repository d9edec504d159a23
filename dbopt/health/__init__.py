"""`dbopt health`: what is wrong with a database, who causes it, what to type.

    checks/<id>.py           one check a file: what it reads, what it thinks of it, what helps (check.py: its form)
    collect(conn, checks)    all of their queries in one snapshot, in one pipeline -> Facts
    judge(checks, facts)     pure: rows -> Results; nothing is asked any more
    verdict                  the Results of one database as one value, for render and for the exit code
    overrides                what dbopt.yaml says about checks, held against them
    ignores, baseline, streaks    pure: what does not count, because it is known or too new

Nothing here prints, and nothing but `collect` talks to a server.
"""
