"""Our signature verifier against botocore's signer, on random requests.

Each round signs one random request with botocore, in headers or in the query, and changes one bit of
a copy of it. The verifier must accept every good request and no changed one. A change that does not
change what the request says (the case of a header's name, of the digits of an escape) is drawn again.

    tests/sigv4/run.py [--count N] [--seed N] [--checker PROGRAM]

Prints `N passed, N failed` last and exits with 1 when one failed. A failure is printed with its seed.
"""

import argparse
import datetime
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parents[2]
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "eu-test-1"
HOSTS = ["s3.example.com", "127.0.0.1:9000", "bucket.s3.example.com", "localhost:9000"]
METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD"]
# Characters that canonicalisation treats in different ways, and some of every length in UTF-8.
ODD = list("abzAZ019-_.~/ +&=?#%$@!*'(),;:\"<>[]{}|\\^`\t\x01éßЖ中€😀")
NAMES = ["prefix", "marker", "max-keys", "uploadId", "versionId", "list-type", "a", "A", "x-id", "delimiter"]
FLAGS = ["uploads", "acl", "delete", "location", "tagging"]


def odd_text(rng, longest):
    return "".join(rng.choice(ODD) for _ in range(rng.randrange(longest + 1)))


def odd_header(rng):
    words = [rng.choice(["a", "b,c", "é", "x=y", '"quoted"', "0", "~", "中文"]) for _ in range(rng.randrange(1, 5))]
    return rng.choice(["", " ", "  "]) + rng.choice([" ", "  ", "   ", "\t "]).join(words) + rng.choice(["", " "])


def odd_url(rng, host):
    # Some clients leave more than the unreserved characters as they are.
    safe = rng.choice(["/~", "/~", "/~", "/~!$&'()*,;=:@", "/~+="])
    path = "/bucket/" + quote(odd_text(rng, 12), safe=safe)
    pairs = []
    for _ in range(rng.randrange(5)):
        name = rng.choice(NAMES) if rng.random() < 0.7 else odd_text(rng, 4) or "n"
        pairs.append(quote(name, safe="-_.~") + "=" + quote(odd_text(rng, 6), safe="-_.~"))
    if rng.random() < 0.2:
        pairs.append(rng.choice(FLAGS))
    if pairs and rng.random() < 0.2:
        # The same name again, with another value.
        pairs.append(rng.choice(pairs).split("=")[0] + "=" + quote(odd_text(rng, 4), safe="-_.~"))
    rng.shuffle(pairs)
    return "http://" + host + path + ("?" + "&".join(pairs) if pairs else "")


def odd_headers(rng, request):
    for _ in range(rng.randrange(5)):
        name = rng.choice(
            ["x-amz-meta-a", "X-Amz-Meta-Long-Name", "x-amz-acl", "content-type", "Content-MD5",
             "cache-control", "range", "if-none-match", "x-custom", "x-amz-checksum-crc32"]
        )
        if name in request.headers and rng.random() < 0.5:
            continue
        # A name that is there already gets a second line.
        request.headers.add_header(name, odd_header(rng))


def good_request(rng):
    """A signed request as it would go over the wire."""
    host = rng.choice(HOSTS)
    body = b"" if rng.random() < 0.5 else rng.randbytes(rng.randrange(64))
    presigned = rng.random() < 0.5
    # Presigning takes a body for parameters.
    data = None if presigned else body
    request = AWSRequest(method=rng.choice(METHODS), url=odd_url(rng, host), data=data)
    odd_headers(rng, request)
    now = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=rng.randrange(10**8))
    botocore.auth.get_current_datetime = lambda *_args, **_kwargs: now
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    if not presigned:
        signer = botocore.auth.S3SigV4Auth(credentials, "s3", REGION)
        late = rng.randrange(-900, 901)
    else:
        expires = rng.randrange(1, 604801)
        signer = botocore.auth.S3SigV4QueryAuth(credentials, "s3", REGION, expires=expires)
        late = rng.randrange(-900, expires + 1)
    signer.add_auth(request)
    headers = [[name, value] for name, value in request.headers.items()]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.append(["host", host])
    seconds = int(now.replace(tzinfo=datetime.timezone.utc).timestamp())
    return {
        "method": request.method,
        "uri": request.url.split(host, 1)[1],
        "headers": headers,
        "now": seconds + late,
    }


def meaning(request):
    """What a request says, whichever way it is written."""
    path, _, query = request["uri"].partition("?")
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.replace("+", " ").partition("=")
        if pair:
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    headers = {}
    for name, value in request["headers"]:
        headers.setdefault(name.lower(), []).append(" ".join(value.split(" ")).split())
    joined = {name: ",".join(" ".join(words) for words in lines) for name, lines in headers.items()}
    return request["method"], unquote_to_bytes(path), sorted(pairs), joined


def flip(rng, text):
    """`text` with one bit of one byte changed; bytes that are no UTF-8 then are no request."""
    data = bytearray(text.encode())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def changed_request(rng, good):
    """`good` with one bit changed, so that it says something else."""
    while True:
        bad = json.loads(json.dumps(good))
        where = rng.randrange(6)
        if where == 0:
            bad["method"] = flip(rng, bad["method"])
            changed = bad["method"]
        elif where <= 2:
            bad["uri"] = flip(rng, bad["uri"])
            changed = bad["uri"]
        else:
            header = rng.choice(bad["headers"])
            index = rng.randrange(2)
            if not header[index]:
                continue
            header[index] = flip(rng, header[index])
            changed = header[index]
        if changed is not None and meaning(bad) != meaning(good):
            return bad


def checker(program):
    if program is None:
        command = ["cargo", "run", "--quiet", "--package", "strongroom-s3-front", "--example", "sigv4_check", "--"]
    else:
        command = [program]
    return command + [ACCESS_KEY, SECRET_KEY, REGION]


# Requests handed to the checker at once: bounds our memory.
BATCH = 10_000


def run_batch(seed, first, count, program):
    """Checks `count` rounds from `first` on; how many passed, failed, and were refused for the signature."""
    requests, expected = [], []
    for round_index in range(first, first + count):
        rng = random.Random(f"{seed}:{round_index}")
        good = good_request(rng)
        requests += [good, changed_request(rng, good)]
        expected += ["a", "r"]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(checker(program), cwd=ROOT, input=lines.encode(), stdout=subprocess.PIPE, check=False)
    verdicts = done.stdout.decode().split()
    if done.returncode != 0 or len(verdicts) != len(expected):
        sys.exit(f"the checker answered {len(verdicts)} of {len(expected)} requests and ended with {done.returncode}")
    # A changed request may be refused for its signature or before that.
    failed = [i for i, (want, got) in enumerate(zip(expected, verdicts)) if (want == "a") != (got == "a")]
    for index in failed[:10]:
        kind = "a good request was refused" if expected[index] == "a" else "a changed request was accepted"
        print(f"seed {seed} round {first + index // 2}: {kind}: {json.dumps(requests[index])}")
        if index % 2 == 1:
            print(f"    unchanged: {json.dumps(requests[index - 1])}")
    return len(expected) - len(failed), len(failed), verdicts.count("s")


def main():
    scale = min(int(os.environ.get("STRONGROOM_TEST_SCALE", "1")), 5)
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000 * scale)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--checker", default=None)
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    passed = failed = by_signature = 0
    for first in range(0, arguments.count, BATCH):
        counts = run_batch(seed, first, min(BATCH, arguments.count - first), arguments.checker)
        passed, failed, by_signature = passed + counts[0], failed + counts[1], by_signature + counts[2]
    print(f"seed {seed}, {by_signature} of {arguments.count} changed requests refused for their signature")
    # Requests that never get as far as the signature would prove nothing about it.
    failed += by_signature * 4 < arguments.count
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
