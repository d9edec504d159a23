"""What both applications' guides promised, measured: collect.py gathers evidence, promises.py and judge.py judge it."""
