"""rclone: copies and syncs of trees both ways, large files in parts, moves, and a whole store
moved in from another one, as docs/operations/from-minio.md tells it."""

import pytest

from harness.content import content, digest
from harness.server import ACCESS_KEY, SECRET_KEY, clean_environment
from harness.tools import LARGE, installed, make_tree, no_uploads, run, stored, tree


def remote(name, endpoint, access=ACCESS_KEY, secret=SECRET_KEY):
    """A remote as the environment names it."""
    prefix = f"RCLONE_CONFIG_{name.upper()}_"
    return {
        prefix + "TYPE": "s3", prefix + "PROVIDER": "Other", prefix + "ENDPOINT": endpoint,
        prefix + "ACCESS_KEY_ID": access, prefix + "SECRET_ACCESS_KEY": secret,
        prefix + "REGION": "us-east-1",
    }


@pytest.fixture
def rclone(server, tmp_path):
    program = installed("rclone")
    environment = clean_environment() | remote("store", server.endpoint) | {
        "RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }
    (tmp_path / "rclone.conf").touch()
    return lambda *words, **options: run([program, *words], environment, tmp_path, **options)


def test_a_tree_is_copied_up_verified_and_copied_down(rclone, s3, bucket, tmp_path):
    expected = make_tree(tmp_path / "tree", large=LARGE)
    chunks = ("--s3-upload-cutoff", "8M", "--s3-chunk-size", "8M")
    rclone("copy", "tree", f"store:{bucket}/up", *chunks)
    assert stored(s3, bucket, "up/") == expected
    no_uploads(s3, bucket)
    # Hashes first, which for parts rclone keeps in the metadata; then every byte.
    rclone("check", "tree", f"store:{bucket}/up")
    rclone("check", "--download", "tree", f"store:{bucket}/up")
    rclone("copy", f"store:{bucket}/up", "down", "--multi-thread-cutoff", "16M")
    assert tree(tmp_path / "down") == expected


def test_sync_both_ways_moves_only_what_differs(rclone, s3, bucket, tmp_path):
    make_tree(tmp_path / "tree")
    rclone("sync", "tree", f"store:{bucket}")
    assert "There was nothing to transfer" in rclone("sync", "tree", f"store:{bucket}", "-v")
    next((tmp_path / "tree/d0").iterdir()).unlink()
    (tmp_path / "tree/d1/new").write_bytes(b"new")
    said = rclone("sync", "tree", f"store:{bucket}", "-v")
    assert ("Copied (new)" in said, "Deleted" in said) == (True, True)
    assert stored(s3, bucket) == tree(tmp_path / "tree")
    s3.put_object(Bucket=bucket, Key="d2/from the store", Body=b"there")
    s3.delete_object(Bucket=bucket, Key="d1/new")
    rclone("sync", f"store:{bucket}", "tree")
    assert stored(s3, bucket) == tree(tmp_path / "tree")


def test_objects_are_moved_streamed_listed_and_purged(rclone, s3, bucket, tmp_path):
    data = content("rcat", 9_000_000)
    rclone("rcat", f"store:{bucket}/stream", "--s3-chunk-size", "5M", data=data)
    assert digest(s3.get_object(Bucket=bucket, Key="stream")["Body"].read()) == digest(data)
    rclone("moveto", f"store:{bucket}/stream", f"store:{bucket}/a b/moved")
    listed = rclone("lsf", "-R", "--format", "sp", f"store:{bucket}").splitlines()
    assert sorted(listed) == ["-1;a b/", "9000000;a b/moved"]
    rclone("touch", f"store:{bucket}/a b/moved", "--timestamp", "2020-01-02T03:04:05")
    assert "2020-01-02 03:04:05" in rclone("lsl", f"store:{bucket}")
    rclone("purge", f"store:{bucket}")
    assert f"{bucket}/" not in rclone("lsf", "store:").splitlines()


def test_a_store_is_moved_in_from_another_one(new_server, tmp_path):
    """The page on moving in: the names of the old store's settings, then one copy per bucket."""
    program = installed("rclone")
    old, new = new_server("old"), new_server("new", credentials=None)
    # The environment file of the old service is read as it is.
    (tmp_path / "environment").write_text(
        "MINIO_ROOT_USER=old-root-user\nMINIO_ROOT_PASSWORD=old-root-password-1234\n"
    )
    settings = dict(line.split("=") for line in (tmp_path / "environment").read_text().split())
    old.start()
    new.start(environment=settings)
    source = old.client()
    for name in ("photos", "backups.2024"):
        source.create_bucket(Bucket=name)
        for number in range(12):
            source.put_object(
                Bucket=name, Key=f"k/{number}", Body=content(number, number * 40_000),
                ContentType="image/png", CacheControl="max-age=60", Metadata={"owner": f"o{number}"},
            )
    source.put_object(Bucket="photos", Key="large", Body=content("large", LARGE))
    credentials = (settings["MINIO_ROOT_USER"], settings["MINIO_ROOT_PASSWORD"])
    environment = clean_environment() | remote("old", old.endpoint) | remote(
        "new", new.endpoint, *credentials) | {"RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
    (tmp_path / "rclone.conf").touch()
    for name in run([program, "lsf", "old:"], environment, tmp_path).split():
        name = name.rstrip("/")
        run([program, "mkdir", f"new:{name}"], environment, tmp_path)
        run([program, "sync", "--metadata", f"old:{name}", f"new:{name}"], environment, tmp_path)
        run([program, "check", "--download", f"old:{name}", f"new:{name}"], environment, tmp_path)
    target = new.client(credentials=credentials)
    assert sorted(b["Name"] for b in target.list_buckets()["Buckets"]) == ["backups.2024", "photos"]
    for name in ("photos", "backups.2024"):
        assert stored(target, name) == stored(source, name)
        head = target.head_object(Bucket=name, Key="k/3")
        assert (head["ContentType"], head["CacheControl"]) == ("image/png", "max-age=60")
        assert head["Metadata"]["owner"] == "o3"
