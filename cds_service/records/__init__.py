"""What the service remembers: cards that went out, what clinicians did with them, and what is still to be sent.

SQLite by default, PostgreSQL by setting. See docs/records.md for the tables, how long they are kept and what is in them of
a patient's.
"""
