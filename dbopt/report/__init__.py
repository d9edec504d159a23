"""What stands on the page of `dbopt report`: values of all rooms, put together for one database.

collect.py      what the store has of it                        -> Kept             I/O
base.py         the time that it is about                       -> Base             pure
compose.py      all of it as the sections of the page           -> Seen             pure
effects.py      what a run of optimize brought                  -> RunEffect        pure
file.py         the page as a file, never half of one

`dbopt/render/html/` writes it down.
"""
