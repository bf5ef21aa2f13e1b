"""The command line: one module a command, imported when the command is used.

The only floor that knows every other one. A mistake of the user is a `Refusal`: one line that says what is
wrong and what to do, and a non-zero exit status.
"""
