"""Controllers: what should be, given what is.

Each module decides for one kind, purely: objects in, an `Outcome` (`outcome`) out. `manager` shows them the
store whenever it changes, puts the differences, and does so until there are none.
"""
