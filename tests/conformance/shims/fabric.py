"""Stands where the suite imports an SSH client: it only uses one to reach into a machine of Ceph's.

No test that we count needs it; a test that does fails with this sentence.
"""


class Connection:
    def __init__(self, *_arguments, **_options):
        raise RuntimeError("the suite wants to run a command over SSH; there is no such machine")
