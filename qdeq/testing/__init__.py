"""What the authors of plug-ins test with; shipped with the package, imported by nothing in it.

:mod:`qdeq.testing.strategies` draws random circuits and needs hypothesis.
"""
