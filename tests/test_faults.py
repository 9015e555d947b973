"""Bad input and broken disks: each has a sentence, loses nothing and never gives wrong bytes."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import time

import pytest
import xxhash
from botocore.exceptions import BotoCoreError, ClientError

from harness.content import KIB, MIB, content, digest, fill, read_all
from harness.figures import figure
from harness.server import StartError

SIZES = [0, 100, 16 * KIB, 16 * KIB + 1, 200 * KIB, 1 * MIB + 1, 5 * MIB]
BLOCK = 4 * KIB
# Seed of the checksum at the end of a superblock.
SUPERBLOCK_SEED = 0x5355_5045_5242_4C4B


def zones_in(folder, names="abc"):
    return {name: [folder / name] for name in names}


def filled(new_server, tmp_path, names="abc"):
    """A stopped store with objects of every kind in it."""
    zones = zones_in(tmp_path / "zones", names)
    server = new_server(zones=zones)
    server.start()
    server.client().create_bucket(Bucket="objects")
    expected = fill(server.client(), "objects", SIZES)
    server.client().put_object(Bucket="objects", Key="deleted", Body=b"x")
    server.client().delete_object(Bucket="objects", Key="deleted")
    server.stop()
    return server, zones, expected


def start_refused(server):
    """Starts and demands a refusal in one readable sentence; returns it."""
    with pytest.raises(StartError) as caught:
        server.start()
    text = str(caught.value)
    assert not re.search(r"panicked|backtrace", text, re.IGNORECASE), text
    assert len(text.split()) > 5, f"no sentence: {text}"
    server.expect_errors()
    return text


# -- two processes, unmounted disks, missing flags


def test_a_second_process_on_the_same_data_is_refused(new_server, tmp_path):
    first, zones, expected = filled(new_server, tmp_path)
    first.start()
    second = new_server("second", zones=zones)
    text = start_refused(second)
    assert re.search(r"in use|lock|another process|already", text, re.IGNORECASE), text
    assert read_all(first.client(), "objects") == expected


def test_the_lock_goes_with_the_process(new_server, tmp_path):
    """H33, as far as a healthy disk shows it."""
    server, _, expected = filled(new_server, tmp_path)
    for _ in range(3):
        server.start()
        server.kill()
    server.start()
    assert read_all(server.client(), "objects") == expected


@pytest.mark.parametrize("lost", ["a", "b", "c"])
def test_an_unmounted_disk_is_not_formatted(new_server, tmp_path, lost):
    """H5: an empty folder in the place of a zone stays empty, and the zone is served when it returns."""
    server, zones, expected = filled(new_server, tmp_path)
    aside = tmp_path / "aside"
    shutil.move(zones[lost][0], aside)
    zones[lost][0].mkdir()
    server.expect_errors(r"zone", r"disk")
    server.start()
    assert read_all(server.client(), "objects") == expected
    assert not [p for p in zones[lost][0].rglob("*") if p.is_file() and "superblock" in p.name]
    server.stop()
    shutil.rmtree(zones[lost][0])
    shutil.move(aside, zones[lost][0])
    server.start()
    assert read_all(server.client(), "objects") == expected


# AZ09
def test_a_majority_of_unmounted_disks_stops_writes(new_server, tmp_path):
    """H3, H5: two blank folders and one zone are no store."""
    server, zones, expected = filled(new_server, tmp_path)
    asides = {}
    for name in "ab":
        asides[name] = tmp_path / f"aside-{name}"
        shutil.move(zones[name][0], asides[name])
        zones[name][0].mkdir()
    server.expect_errors()
    demand_no_service(server)
    for name, aside in asides.items():
        shutil.rmtree(zones[name][0])
        shutil.move(aside, zones[name][0])
    server.start()
    assert read_all(server.client(), "objects") == expected


def test_a_missing_zone_flag_does_not_redefine_the_majority(new_server, tmp_path):
    """H5: with one of three zones named, nothing is served and nothing is formatted."""
    server, zones, expected = filled(new_server, tmp_path)
    server.expect_errors()
    server.zones = {"a": zones["a"]}
    demand_no_service(server)
    server.zones = {"a": zones["a"], "c": zones["c"]}
    server.start()
    assert read_all(server.client(), "objects") == expected
    server.client().put_object(Bucket="objects", Key="more", Body=b"x")
    server.stop()
    server.zones = zones
    server.start()
    assert read_all(server.client(), "objects") == expected | {"more": digest(b"x")}


def demand_no_service(server):
    """Either the start is refused, or the server waits and answers 503 to everything."""
    try:
        server.start(ready=False)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and server.process.poll() is None:
            assert server.health("/readyz") != 200
            assert server.health("/readyz/write") != 200
            time.sleep(0.2)
        if server.process.poll() is None:
            with pytest.raises((ClientError, BotoCoreError)) as caught:
                server.client().put_object(Bucket="objects", Key="k", Body=b"x")
            if isinstance(caught.value, ClientError):
                assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        else:
            assert server.process.returncode != 0
    finally:
        server.kill()


# AZ07
def test_two_swapped_labels_are_refused_or_understood(new_server, tmp_path):
    server, zones, expected = filled(new_server, tmp_path)
    server.zones = {"a": zones["b"], "b": zones["a"], "c": zones["c"]}
    text = start_refused(server)
    assert "zone" in text or "disk" in text
    server.zones = zones
    server.start()
    assert read_all(server.client(), "objects") == expected


def test_a_disk_of_another_store_is_refused_and_left_alone(new_server, tmp_path):
    server, zones, expected = filled(new_server, tmp_path)
    other, other_zones, _ = filled(lambda **o: new_server("other", **o), tmp_path / "other-store")
    before = snapshot(other_zones["b"][0])
    server.zones = zones | {"b": other_zones["b"]}
    try:
        server.start()
        assert read_all(server.client(), "objects") == expected
        server.stop()
    except StartError as error:
        assert len(str(error).split()) > 5
    server.expect_errors()
    assert snapshot(other_zones["b"][0]) == before


def snapshot(folder):
    return {
        path.relative_to(folder): digest(path.read_bytes())
        for path in sorted(folder.rglob("*")) if path.is_file() and "lock" not in path.name.lower()
    }


def test_an_unknown_setting_stops_the_start_by_name(new_server, tmp_path):
    config = tmp_path / "strongroom.toml"
    config.write_text('no_such_setting = "x"\n')
    server = new_server(arguments=["--config", str(config)])
    assert "no_such_setting" in start_refused(server)


def test_a_port_in_use_has_a_sentence(new_server, tmp_path):
    first = new_server("first")
    first.start()
    second = new_server("second")
    second.port = first.port
    assert str(first.port) in start_refused(second)


def test_a_first_format_that_was_killed_is_resumed(new_server):
    """H6: kill -9 in the middle of the first start, at instants all over it."""
    chance = random.Random(6)
    server = new_server()
    for _ in range(12):
        server.start(ready=False)
        time.sleep(chance.uniform(0.0, 0.12))
        server.kill()
    server.start()
    server.client().create_bucket(Bucket="objects")
    expected = fill(server.client(), "objects", SIZES[:4])
    server.restart()
    assert read_all(server.client(), "objects") == expected


# -- newer formats


def test_a_newer_superblock_is_refused(new_server, tmp_path):
    """The version is the first number after the magic; whatever else is right, newer is refused."""
    server, zones, expected = filled(new_server, tmp_path)
    kept = {}
    for folders in zones.values():
        for path in superblocks(folders[0]):
            kept[path] = path.read_bytes()
            path.write_bytes(newer(kept[path]))
    text = start_refused(server)
    assert re.search(r"newer|version|format", text, re.IGNORECASE), text
    for path, data in kept.items():
        path.write_bytes(data)
    server.start()
    assert read_all(server.client(), "objects") == expected


def superblocks(folder):
    found = [path for path in folder.rglob("superblock*") if path.is_file()]
    assert found, f"no superblock below {folder}"
    return found


def newer(data):
    """The superblock as a later program would write it: sound, with a version far ahead."""
    body = data[:8] + (7000).to_bytes(4, "little") + data[12:-16]
    return body + xxhash.xxh3_128_intdigest(body, SUPERBLOCK_SEED).to_bytes(16, "little")


# -- damage


def written(path):
    """The ranges of a file that hold data: segments are preallocated and mostly holes."""
    ranges, end = [], 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            ranges.append((start, end))
    return ranges or [(0, size)]


def spot(path, chance):
    """An offset where there is data, each byte as likely as any other."""
    ranges = written(path)
    return chance.choices(
        [chance.randrange(start, end) for start, end in ranges], [end - start for start, end in ranges]
    )[0]


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path, chance):
    """One bit, of a byte that is not zero where there is one near."""
    offset = spot(path, chance)
    with open(path, "rb") as file:
        file.seek(offset)
        near = file.read(64 * KIB)
    step = next((index for index, byte in enumerate(near) if byte), 0)
    overwrite(path, offset + step, bytes([near[step] ^ (1 << chance.randrange(8))]))


def truncate(path, chance):
    os.truncate(path, spot(path, chance))


def zero(path, chance):
    offset = spot(path, chance) // BLOCK * BLOCK
    size = chance.choice([BLOCK, 64 * KIB, 1 * MIB])
    overwrite(path, offset, bytes(min(size, path.stat().st_size - offset)))


def garbage(path, chance):
    offset = spot(path, chance) // BLOCK * BLOCK
    overwrite(path, offset, chance.randbytes(min(BLOCK, path.stat().st_size - offset)))


DAMAGES = [flip, truncate, zero, garbage]
# Starts a change can afford; the slow lane visits every file with every damage.
DAMAGE_CASES = 28


def damage_cases(folder, count, chance):
    """Pairs of file and damage: every file once if there is room, then at random."""
    files = [
        path for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size and "lock" not in path.name.lower()
    ]
    pairs = [(path, damage) for path in files for damage in DAMAGES]
    chance.shuffle(pairs)
    seen, first, rest = set(), [], []
    for path, damage in pairs:
        (rest if path in seen else first).append((path, damage))
        seen.add(path)
    return (first + rest)[:count]


def copy_tree(source, target):
    """Copies folders and files, sparse ones as sparse ones: segments are preallocated."""
    subprocess.run(["cp", "-a", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)


def restore(pristine, zones):
    folder = next(iter(zones.values()))[0].parent
    shutil.rmtree(folder)
    copy_tree(pristine, folder)


# AZ26, IN10
def test_a_damaged_file_never_gives_wrong_bytes(new_server, tmp_path, scale, capsys):
    """Every file of one zone, flipped, cut, zeroed or overwritten: all objects come back right."""
    seed = int(os.environ.get("STRONGROOM_TEST_SEED", "20"))
    chance = random.Random(seed)
    server, zones, expected = filled(new_server, tmp_path)
    server.expect_errors()
    pristine = tmp_path / "pristine"
    copy_tree(tmp_path / "zones", pristine)
    cases = damage_cases(pristine / "b", DAMAGE_CASES * scale, chance)
    refusals = 0
    for path, damage in cases:
        restore(pristine, zones)
        target = zones["b"][0] / path.relative_to(pristine / "b")
        damage(target, chance)
        what = f"{damage.__name__} of {path.relative_to(pristine)} (seed {seed})"
        try:
            server.start()
        except StartError as error:
            assert "superblock" in path.name, f"{what}: the start was refused: {error}"
            refusals += 1
            continue
        assert read_all(server.client(), "objects") == expected, what
        server.client().put_object(Bucket="objects", Key="more", Body=b"x" * 50_000)
        try:
            server.stop()
            server.start()
        except StartError as error:
            raise AssertionError(f"{what}: the second start was refused: {error}") from error
        assert read_all(server.client(), "objects") == expected | {"more": digest(b"x" * 50_000)}, what
        server.stop()
        server.check_log()
    with capsys.disabled():
        print(f"\ndamaged files {len(cases)}, wrong bytes 0, starts refused with a sentence {refusals}")
        figure("T6 damaged files of one zone", "damaged files", len(cases))


# AZ26, IN10
def test_files_swapped_between_zones_never_give_wrong_bytes(new_server, tmp_path, scale):
    """A misdirected restore: a file of zone b where the same file of zone a was, and back."""
    server, zones, expected = filled(new_server, tmp_path)
    server.expect_errors()
    pristine = tmp_path / "pristine"
    copy_tree(tmp_path / "zones", pristine)
    pairs = same_named(pristine / "a", pristine / "b")
    random.Random(3).shuffle(pairs)
    for one, two in pairs[: 6 * scale]:
        restore(pristine, zones)
        copy_tree(two, zones["a"][0] / one.relative_to(pristine / "a"))
        copy_tree(one, zones["b"][0] / two.relative_to(pristine / "b"))
        try:
            server.start()
        except StartError:
            continue
        found = {}
        with contextlib.suppress(ClientError):
            found = read_all(server.client(), "objects")
        wrong = {key for key, value in found.items() if expected.get(key) != value}
        assert not wrong, f"{one.relative_to(pristine)}: wrong bytes of {wrong}"
        server.kill()
        server.check_log()


def same_named(one, two):
    """Files under the same name in both folders; or else, of the same suffix, in order."""
    firsts = {path.relative_to(one): path for path in one.rglob("*") if path.is_file() and path.stat().st_size}
    seconds = {path.relative_to(two): path for path in two.rglob("*") if path.is_file() and path.stat().st_size}
    return [(firsts[name], seconds[name]) for name in sorted(firsts) if name in seconds]


def test_damage_while_running_is_read_around(new_server, tmp_path):
    """Rot under a running server: whole files of one zone are overwritten with garbage in place."""
    server, zones, expected = filled(new_server, tmp_path)
    server.expect_errors()
    server.start()
    assert read_all(server.client(), "objects") == expected
    chance = random.Random(9)
    for path in sorted(zones["c"][0].rglob("*")):
        if path.is_file() and "lock" not in path.name.lower():
            with open(path, "r+b") as file:
                size = min(path.stat().st_size, 8 * MIB)
                for start in range(0, size, 64 * KIB):
                    file.seek(start)
                    file.write(chance.randbytes(min(BLOCK, size - start)))
    assert read_all(server.client(), "objects") == expected
    server.kill()
    server.start()
    assert read_all(server.client(), "objects") == expected


def test_the_view_of_one_zone_deleted_is_rebuilt(new_server, tmp_path):
    server, zones, expected = filled(new_server, tmp_path)
    server.expect_errors(r"view", r"zone")
    views = [p for folders in zones.values() for p in folders[0].rglob("*") if p.is_dir() and "view" in p.name]
    if not views:
        pytest.skip("the zones hold no folder of a view")
    for view in views[:1]:
        shutil.rmtree(view)
    server.start()
    assert read_all(server.client(), "objects") == expected


def test_every_view_deleted_is_rebuilt_from_the_log(new_server, tmp_path):
    """The log is the truth: while it is whole, no view is needed."""
    server, zones, expected = filled(new_server, tmp_path)
    server.expect_errors(r"view", r"zone")
    for folders in zones.values():
        for path in [p for p in folders[0].rglob("*") if p.is_dir() and "view" in p.name]:
            shutil.rmtree(path, ignore_errors=True)
    server.start()
    assert read_all(server.client(), "objects") == expected


# -- full disks


@contextlib.contextmanager
def small_disk(folder, size_mib):
    """A small ext4 file system of its own at `folder`."""
    image = folder.with_suffix(".image")
    folder.mkdir(parents=True)
    with open(image, "wb") as file:
        file.truncate(size_mib * MIB)
    run = lambda *words: subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: E731
    made = run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    mounted = run("mount", "-o", "loop", str(image), str(folder)) if made.returncode == 0 else made
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        (folder / "disk").mkdir()
        yield folder / "disk"
    finally:
        run("umount", "-l", str(folder))
        image.unlink()


def write_until_full(client, limit_mib):
    """Stores objects until one is refused; returns what was acknowledged and the refusals."""
    expected, refusals = {}, []
    for number in range(limit_mib):
        size = [8 * MIB, 3000, 100 * KIB][number % 3]
        data = content(number, size)
        try:
            client.put_object(Bucket="objects", Key=f"fill-{number:05}", Body=data)
            expected[f"fill-{number:05}"] = digest(data)
        except ClientError as error:
            refusals.append(error)
            if len(refusals) == 5:
                break
    return expected, refusals


# AZ09
@pytest.mark.root
def test_full_disks_refuse_with_an_error_and_lose_nothing(new_server, tmp_path):
    """H34: a full store still reads, deletes and restarts."""
    # Room for two segments and some log on each.
    size = 600
    with contextlib.ExitStack() as stack:
        zones = {name: [stack.enter_context(small_disk(tmp_path / name, size))] for name in "abc"}
        server = new_server(zones=zones)
        stack.callback(server.kill)
        server.expect_errors()
        server.start()
        client = server.client()
        client.create_bucket(Bucket="objects")
        expected, refusals = write_until_full(client, size * 3)
        assert refusals, "the disks never filled"
        for error in refusals:
            response = error.response
            assert response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503, 507), response
            assert response["Error"]["Code"] != "InternalError", response
        left_over = set(read_all(client, "objects"))
        assert set(expected) <= left_over
        victim = sorted(expected)[0]
        client.delete_object(Bucket="objects", Key=victim)
        del expected[victim]
        server.stop()
        server.start()
        found = read_all(server.client(), "objects")
        assert {key: found.get(key) for key in expected} == expected
        assert victim not in found


@pytest.mark.root
def test_the_fullest_disk_decides_and_nothing_is_lost(new_server, tmp_path):
    """Objects are refused rather than stored with less protection than promised."""
    with small_disk(tmp_path / "c", 350) as small:
        zones = zones_in(tmp_path / "zones", "ab") | {"c": [small]}
        server = new_server(zones=zones)
        try:
            server.expect_errors()
            server.start()
            client = server.client()
            client.create_bucket(Bucket="objects")
            expected, refusals = write_until_full(client, 350)
            for error in refusals:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (503, 507), error
            assert expected.items() <= read_all(client, "objects").items()
            server.stop()
            server.start()
            assert expected.items() <= read_all(server.client(), "objects").items()
            server.client().delete_object(Bucket="objects", Key=sorted(expected)[0])
        finally:
            server.kill()
