"""A conformance suite of S3 Object Lock, for any endpoint.

An auditor runs it against a server in use: it makes buckets with random names, touches nothing
else, locks for seconds, ends by itself and takes away what it made as far as the locks allow. Each
check says what S3 promises and by which rule; after every attack on a locked version its bytes and
its lock are read back. One file per group of rules; `wire.py` speaks S3, `suite.py` keeps what was
made, `run.py` runs and reports.

Invariants
- No request names a bucket that this run did not make.
- Requests and time are bounded; clean-up has a share of its own.
- What was not checked is said: a check is `ok`, `FAILED` or `skipped` with a reason.
"""
