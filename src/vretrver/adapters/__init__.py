"""Faces towards other people's frameworks: each module makes our parts look like what that framework calls.

Nothing in the library imports them; each needs the extra that its docstring names.
"""
