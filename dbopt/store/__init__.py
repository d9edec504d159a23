"""What dbopt remembers: the ledger of its runs, and what health has found.

The only user of SQLAlchemy and Alembic beside the client library.

    repository.open_ledger(url, Caller(...)) -> Ledger   never raises: a store that cannot be had is one warning
    Ledger.handle(event)                                 for each event of a run; neither does this
    repository.open_store(url) -> Store                  for commands whose job is the store: raises StoreUnusable
    Store.runs(...), Store.run(id), Store.status()       what was recorded, and in tables of which revision
    clients.publish(session, ...)                        what a process of an application says of itself
    health.Memory(url)                                   what `dbopt health` keeps for its next run: never raises either

Nothing is imported here: SQLAlchemy costs a third of a second, so that is spent where a store is really opened.
"""
