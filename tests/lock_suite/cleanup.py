"""Taking away what a run made, as far as its locks allow, and saying what stays and until when."""

from .suite import BYPASS, HOLD, MODE, UNTIL, Version
from .wire import Missing, Spent, Wrong, date_seconds, date_text

# A lock that ends within this is waited for: all but those of a day do.
WAIT_SECONDS_MAX = 60
# A page of a list has a thousand entries.
PAGES_MAX = 20


def clean_up(suite, say):
    """Empties and deletes every bucket of the run; what is left, as sentences."""
    left = []
    for bucket in suite.buckets:
        try:
            left += clean_bucket(suite, bucket)
        except (Wrong, Missing, Spent, LookupError, TypeError, ValueError, AttributeError) as reason:
            left.append(f"bucket {bucket}, which could not be cleaned up: {reason}")
    for line in left:
        say(f"left: {line}")
    return left


def clean_bucket(suite, bucket):
    path = f"/{bucket}"
    if suite.send("HEAD", path).status == 404:
        return []
    for upload in suite.send("GET", path, {"uploads": None}).expect(200).xml.iter("Upload"):
        suite.send("DELETE", f"{path}/{upload.findtext('Key')}", {"uploadId": upload.findtext("UploadId")})
    left = [line for version in versions(suite, bucket) if (line := remove(suite, version))]
    if left:
        return left
    answer = suite.send("DELETE", path)
    return [] if answer.status == 204 else [f"bucket {bucket}: its delete says {answer}"]


def versions(suite, bucket):
    """All versions and markers of a bucket: the list is whole before anything is deleted."""
    found, after = [], {}
    for _ in range(PAGES_MAX):
        page = suite.send("GET", f"/{bucket}", {"versions": None, **after}).expect(200).xml
        for entry in (*page.iter("Version"), *page.iter("DeleteMarker")):
            found.append(Version(bucket, entry.findtext("Key"), entry.findtext("VersionId"), None, None, None, None))
        if page.findtext("IsTruncated") != "true":
            break
        after = {"key-marker": page.findtext("NextKeyMarker"), "version-id-marker": page.findtext("NextVersionIdMarker")}
    return found


def remove(suite, version):
    """Deletes a version; says what holds it when it stays."""
    # The header itself is refused where there are no locks.
    for headers in (BYPASS, {}):
        if suite.delete(version, headers).status == 204:
            return None
    head = suite.send("HEAD", version.path, version.id)
    if head.headers.get(HOLD) == "ON":
        suite.set_hold(version, "OFF")
    until = date_seconds(head.headers.get(UNTIL))
    if until is not None and until - suite.wire.now() < WAIT_SECONDS_MAX:
        suite.wait_until(until)
    answer = suite.delete(version, {} if until is None else BYPASS)
    if answer.status == 204:
        return None
    if until is None:
        return f"{version.bucket}/{version.key} version {version.version}: its delete says {answer}"
    word = f"{head.headers.get(MODE, '').lower()} until {date_text(until)}"
    return f"{version.bucket}/{version.key} version {version.version}: {word}"
