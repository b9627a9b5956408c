"""Everything that people look at, made from results; nothing here computes any.

A module is called after what it shows. Here they make text (tables for a terminal, Markdown, CSV), in ``plots`` the
picture of the same result, in ``html`` the page about runs, and in ``live`` what moves while something runs.
``tables`` and ``plots.style`` have what they share.
"""
