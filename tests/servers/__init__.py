"""Servers in Python that the tests run in environments of their own, since they want other packages than AREA's: for each a
script, and the packages that it needs, locked.
"""
