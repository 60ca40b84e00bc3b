"""Inputs that no test names, against properties that hold for every input.

Short, with fixed seeds, as tests (``test_fuzz.py``); for a given time as ``python -m tests.fuzz``.
"""
