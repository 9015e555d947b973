"""S3 on the wire: one request, signed as the AWS libraries do it, and its whole answer.

The client libraries refuse or correct what a check wants to send wrong, and hide what was answered.
So requests are built here and only the signature is botocore's. Nothing follows a redirect.
"""

import base64
import datetime
import email.utils
import hashlib
import socket
import time
import xml.etree.ElementTree as ElementTree
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session

UTC = datetime.timezone.utc
CONNECT_SECONDS_MAX = 10
ANSWER_SECONDS_MAX = 30
# A busy endpoint says 503; three in a row are a finding of their own.
TRIES_MAX = 3
TRY_AGAIN_SECONDS = 1


class Wrong(Exception):
    """The endpoint did not do what S3 promises."""


class Missing(Exception):
    """The endpoint says 501 NotImplemented."""


class Spent(Exception):
    """The run has used its requests or its time."""


class Budget:
    """How many requests may be sent, and until when."""

    def __init__(self, requests_max, seconds_max):
        self.requests_max = requests_max
        self.sent = 0
        self.deadline = time.monotonic() + seconds_max

    def take(self):
        if self.sent >= self.requests_max:
            raise Spent(f"the limit of {self.requests_max} requests is reached")
        if time.monotonic() > self.deadline:
            raise Spent("the time limit is reached")
        self.sent += 1

    def extend(self, requests, seconds):
        """What clean-up may use beside the checks."""
        self.requests_max += requests
        self.deadline = max(self.deadline, time.monotonic() + seconds)


class Answer:
    """What was answered, and to what."""

    def __init__(self, asked, status, headers, body):
        self.asked = asked
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def xml(self):
        """The document, without name spaces."""
        try:
            root = ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            raise Wrong(f"{self.asked} was answered with {self.status} and no XML") from None
        for element in root.iter():
            element.tag = element.tag.rsplit("}", 1)[-1]
        return root

    @property
    def code(self):
        """The code of an error, or nothing."""
        if self.status < 300 or not self.body:
            return None
        try:
            return self.xml.findtext("Code")
        except Wrong:
            return None

    def text(self, path):
        return self.xml.findtext(path)

    def __str__(self):
        return f"{self.status} {self.code or ''}".strip()

    def expect(self, *accepted):
        """Demands one of the answers: statuses, or (status, code)."""
        for wanted in accepted:
            status, code = wanted if isinstance(wanted, tuple) else (wanted, None)
            if self.status == status and code in (None, self.code):
                return self
        if self.status == 501:
            raise Missing(f"{self.asked} says 501 {self.code or ''}".strip())
        names = [" ".join(map(str, w)) if isinstance(w, tuple) else str(w) for w in accepted]
        raise Wrong(f"{self.asked} was answered with {self}, not {' or '.join(names)}")

    def expect_refusal(self):
        """Demands any error of the request: the endpoint may choose which."""
        if not 400 <= self.status < 500 and self.status != 501:
            raise Wrong(f"{self.asked} was answered with {self}, not with a refusal")
        return self


class _Auth(S3SigV4Auth):
    """The signature of a time that may differ from now."""

    def __init__(self, credentials, region, ahead_seconds):
        super().__init__(credentials, "s3", region)
        self.ahead = datetime.timedelta(seconds=ahead_seconds)

    def add_auth(self, request):
        moment = datetime.datetime.now(UTC) + self.ahead
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        self._inject_signature_to_request(request, signature)


def md5(body):
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def date_text(seconds):
    """As lock headers and documents have it."""
    moment = datetime.datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def date_seconds(text):
    """The seconds of a date in a header or a document; nothing for no date."""
    if text is None:
        return None
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise Wrong(f"{text!r} is no date of ISO 8601") from None


class Wire:
    """An endpoint and who speaks to it."""

    def __init__(self, endpoint, region, credentials, authority, budget):
        self.endpoint = endpoint.rstrip("/")
        self.region = region
        self.credentials = credentials
        self.budget = budget
        # Without the option each body waits for the acknowledgement of its headers, which is late.
        self.session = URLLib3Session(
            verify=authority or True, timeout=(CONNECT_SECONDS_MAX, ANSWER_SECONDS_MAX),
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])
        # What the endpoint's clock is ahead of ours, by the Date of its last answer.
        self.ahead = 0.0

    def url(self, path, query):
        pairs = [
            quote(name, safe="") + ("" if value is None else "=" + quote(str(value), safe=""))
            for name, value in (query or {}).items()
        ]
        return self.endpoint + quote(path, safe="/~") + ("?" + "&".join(pairs) if pairs else "")

    def send(self, method, path, query=None, headers=None, body=b"", *, signed=True, dated_ahead=0,
             after_signing=None, url=None):
        """Sends a request; `after_signing` are headers that the signature does not cover."""
        request = AWSRequest(
            method=method, url=url or self.url(path, query), headers=headers or {}, data=body)
        if signed:
            frozen = self.credentials.get_frozen_credentials()
            _Auth(frozen, self.region, dated_ahead).add_auth(request)
        for name, value in (after_signing or {}).items():
            request.headers[name] = value
        asked = f"{method} {path}" + "".join(f" ?{name}" for name in query or {} if name != "versionId")
        for remaining in reversed(range(TRIES_MAX)):
            self.budget.take()
            try:
                got = self.session.send(request.prepare())
            except (HTTPClientError, NoConnection) as error:
                raise Wrong(f"{asked} got no answer: {error}") from None
            answer = Answer(asked, got.status_code, got.headers, got.content)
            if got.status_code != 503 or not remaining:
                break
            time.sleep(TRY_AGAIN_SECONDS)
        self._note_clock(answer)
        return answer

    def presigned(self, method, path, query):
        """A link to one request, good for a minute."""
        request = AWSRequest(method=method, url=self.url(path, query))
        frozen = self.credentials.get_frozen_credentials()
        S3SigV4QueryAuth(frozen, "s3", self.region, expires=60).add_auth(request)
        return request.url

    def _note_clock(self, answer):
        date = email.utils.parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else None
        if date is not None:
            self.ahead = date.timestamp() - time.time()

    def now(self):
        """The endpoint's time, at most a second early: its Date has whole seconds."""
        return time.time() + self.ahead
