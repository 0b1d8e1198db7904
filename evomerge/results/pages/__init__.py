"""What the pages of the studio show, as plain data: read from an archive, drawn by the scripts in `built`.

Start with `snapshot`. Each other file makes the document of one page; nothing here knows of a server.
`built` is made of `web/` by `make studio` and committed, so that a clone and a wheel need no node.
"""
