"""What tables and indexes are to each other, judged from the rows of catalogs. Pure; several rooms read it.

redundancy.py      which index does all that another does
foreign_keys.py    which foreign keys have an index
"""
