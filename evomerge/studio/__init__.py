"""`evomerge studio`: a local web server for the pages of `evomerge.results.pages`, live while a search runs.

It reads archives and never writes to them; the notes and stars that people give candidates are in `notes.json` of the
run directory. `app` has the routes, `guard` decides who is answered at all.
"""
