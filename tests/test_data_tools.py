"""Tools that keep tables in a store: pyarrow, polars and DuckDB read each other's Parquet files."""

from pathlib import Path

import pytest

pyarrow = pytest.importorskip("pyarrow", reason="the Python package pyarrow is not installed")

import pyarrow.dataset as dataset  # noqa: E402
import pyarrow.parquet as parquet  # noqa: E402
from pyarrow import fs  # noqa: E402

from harness.content import MIB, content, digest  # noqa: E402
from harness.server import ACCESS_KEY, REGION, SECRET_KEY  # noqa: E402
from harness.tools import LARGE, no_uploads  # noqa: E402

ROWS = 60_000


@pytest.fixture
def filesystem(server):
    return fs.S3FileSystem(
        access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION, scheme="http",
        endpoint_override=f"127.0.0.1:{server.port}", allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )


@pytest.fixture
def table():
    return pyarrow.table({
        "id": list(range(ROWS)), "year": [2020 + number % 3 for number in range(ROWS)],
        "text": [f"row {number * 7919 % 1000}" for number in range(ROWS)],
    })


def test_pyarrow_writes_and_reads_a_partitioned_data_set(filesystem, table, s3, bucket):
    parts = dataset.partitioning(pyarrow.schema([("year", pyarrow.int64())]), flavor="hive")
    dataset.write_dataset(
        table, f"{bucket}/table", format="parquet", partitioning=parts, filesystem=filesystem,
        max_rows_per_file=8000, max_rows_per_group=8000)
    read = dataset.dataset(f"{bucket}/table", partitioning=parts, filesystem=filesystem)
    assert len(read.files) == 9
    assert read.to_table().sort_by("id").select(table.column_names).equals(table)
    some = read.to_table(filter=dataset.field("year") == 2021, columns=["id"])
    assert sorted(some["id"].to_pylist()) == list(range(1, ROWS, 3))
    dataset.write_dataset(
        table.slice(0, 10), f"{bucket}/table", format="parquet", partitioning=parts,
        filesystem=filesystem, existing_data_behavior="delete_matching")
    again = dataset.dataset(f"{bucket}/table", partitioning=parts, filesystem=filesystem)
    assert again.count_rows() == 10
    no_uploads(s3, bucket)


def test_pyarrow_streams_copies_moves_and_removes_files(filesystem, s3):
    data = content("arrow", LARGE)
    filesystem.create_dir("arrow-made/folder")
    with filesystem.open_output_stream("arrow-made/folder/large") as out:
        for start in range(0, LARGE, 3 * MIB):
            out.write(data[start:start + 3 * MIB])
    with filesystem.open_input_file("arrow-made/folder/large") as file:
        file.seek(30 * MIB)
        assert file.read(1000) == data[30 * MIB:][:1000]
        file.seek(0)
        assert digest(file.read()) == digest(data)
    filesystem.move("arrow-made/folder/large", "arrow-made/moved")
    filesystem.copy_file("arrow-made/moved", "arrow-made/copy")
    found = {info.path: info.size for info in filesystem.get_file_info(
        fs.FileSelector("arrow-made", recursive=True)) if info.is_file}
    assert found == {"arrow-made/copy": LARGE, "arrow-made/moved": LARGE}
    filesystem.delete_dir("arrow-made")
    assert "arrow-made" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def test_polars_reads_what_pyarrow_wrote_and_writes_what_pyarrow_reads(
        server, filesystem, table, bucket):
    polars = pytest.importorskip("polars", reason="the Python package polars is not installed")
    options = {
        "aws_endpoint_url": server.endpoint, "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": SECRET_KEY, "aws_region": REGION, "aws_allow_http": "true",
    }
    for part in range(3):
        with filesystem.open_output_stream(f"{bucket}/in/{part}.parquet") as out:
            parquet.write_table(table.slice(part * 20_000, 20_000), out)
    frame = polars.scan_parquet(f"s3://{bucket}/in/*.parquet", storage_options=options)
    sums = frame.group_by("year").agg(polars.col("id").sum()).sort("year").collect()
    assert sums["id"].to_list() == [sum(range(first, ROWS, 3)) for first in range(3)]
    frame.filter(polars.col("year") == 2020).sink_parquet(
        f"s3://{bucket}/out.parquet", storage_options=options)
    with filesystem.open_input_file(f"{bucket}/out.parquet") as file:
        assert parquet.read_table(file)["id"].to_pylist() == list(range(0, ROWS, 3))


def test_duckdb_queries_and_writes_a_partitioned_table(server, filesystem, table, bucket):
    duckdb = pytest.importorskip("duckdb", reason="the Python package duckdb is not installed")
    extension = pytest.importorskip(
        "duckdb_extension_httpfs", reason="the Python package duckdb-extension-httpfs is not installed")
    [file] = Path(extension.__file__).parent.rglob("httpfs.duckdb_extension")
    base = duckdb.connect()
    base.execute(f"LOAD '{file}'")
    base.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}', REGION '{REGION}', "
        f"ENDPOINT '127.0.0.1:{server.port}', URL_STYLE 'path', USE_SSL false)")
    base.register("given", table)
    base.execute(f"COPY given TO 's3://{bucket}/duck' (FORMAT parquet, PARTITION_BY (year))")
    [(count, total)] = base.execute(
        f"SELECT count(*), sum(id) FROM read_parquet('s3://{bucket}/duck/*/*.parquet', "
        "hive_partitioning = true) WHERE year = 2022").fetchall()
    expected = range(2, ROWS, 3)
    assert (count, total) == (len(expected), sum(expected))
    read = dataset.dataset(
        f"{bucket}/duck", filesystem=filesystem, format="parquet", partitioning="hive")
    assert read.count_rows() == ROWS
