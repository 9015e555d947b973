"""The figures of the proofs, as the lines that `cargo xtask reliability` gathers.

A line is `RELIABILITY {json}`: the name of the proof, what one trial is, how many there were, how
many went wrong, and counts that say what they were made of. It is printed after the last assertion
of a test, so that there is none of a test that failed.
"""

import json


def figure(proof, unit, trials, bad=0, **counts):
    """Prints one figure on a line of its own, whatever stands on the line before."""
    print("\nRELIABILITY " + json.dumps(
        {"proof": proof, "unit": unit, "trials": trials, "bad": bad, "counts": counts}
    ))
