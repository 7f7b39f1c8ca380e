"""Gust's runtime client for Python: what runs between the interpreter and a handler."""
