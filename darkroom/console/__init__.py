"""The light table: a page that shows each picture with its renditions, its row and its execution, on this machine only.

It reads what the command line reads, by the same modules, with the caller's own credentials.

    server.py       the views put together and served
    guard.py        who may ask
    pages.py        what is common to all views: templates, and errors in words
    connection.py   the stack that the page shows, found again when the cloud was away; read-only or not
    uploads.py executions.py results.py letters.py health.py    one view each
    files.py        the pictures themselves, out of the buckets
    diagram.py charts.py placeholder.py                         what is drawn
"""
