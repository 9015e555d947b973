// The minio client for JavaScript: buckets, files, streams in parts, copies, lists, links, removal.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { Readable } from "node:stream";
import * as Minio from "minio";

import {
  LARGE, MIB, accessKey, all, bucket, collect, content, digest, endpoint, passed, region, secretKey,
} from "./common.mjs";

const { hostname, port } = new URL(endpoint);
const client = new Minio.Client({
  endPoint: hostname, port: Number(port), useSSL: false, region, accessKey, secretKey,
  partSize: 8 * MIB,
});
const get = async (key) => collect(await client.getObject(bucket, key));

assert.equal(await client.bucketExists(bucket), false);
await client.makeBucket(bucket, region);
assert.equal(await client.bucketExists(bucket), true);
assert.ok((await client.listBuckets()).some((entry) => entry.name === bucket));
passed("buckets");

const large = content("minio", LARGE);
await writeFile("up", large);
await client.fPutObject(bucket, "a b/+ü", "up", { "Content-Type": "text/x-test", "X-Amz-Meta-Colour": "blue" });
const about = await client.statObject(bucket, "a b/+ü");
assert.deepEqual([about.size, about.metaData["content-type"], about.metaData.colour], [LARGE, "text/x-test", "blue"]);
await client.fGetObject(bucket, "a b/+ü", "down");
assert.equal(digest(await readFile("down")), digest(large));
passed("a file in parts");

await client.putObject(bucket, "stream", Readable.from([content("s", 100_000), content("t", 50_000)]));
assert.equal(digest(await get("stream")), digest(Buffer.concat([content("s", 100_000), content("t", 50_000)])));
const part = await collect(await client.getPartialObject(bucket, "a b/+ü", 20 * MIB, 1000));
assert.deepEqual(part, large.subarray(20 * MIB, 20 * MIB + 1000));
passed("streams and ranges");

await client.copyObject(bucket, "copied", `/${bucket}/stream`);
assert.equal(digest(await get("copied")), digest(await get("stream")));
await assert.rejects(client.statObject(bucket, "none"), { code: "NotFound" });
await assert.rejects(client.removeBucket(bucket), { code: "BucketNotEmpty" });
passed("copies and errors");

const link = await client.presignedGetObject(bucket, "stream", 60);
assert.equal(digest(Buffer.from(await (await fetch(link)).arrayBuffer())), digest(await get("stream")));
const put = await client.presignedPutObject(bucket, "linked", 60);
assert.equal((await fetch(put, { method: "PUT", body: "by link" })).status, 200);
assert.equal((await get("linked")).toString(), "by link");
passed("links");

for (let number = 0; number < 20; number++) await client.putObject(bucket, `many/${number}`, Buffer.from("x"));
const top = await all(client.listObjectsV2(bucket, "", false));
assert.deepEqual(top.map((item) => item.name ?? item.prefix).sort(), ["a b/", "copied", "linked", "many/", "stream"]);
const every = await all(client.listObjectsV2(bucket, "", true));
assert.equal(every.length, 24);
await client.removeObjects(bucket, every.map((item) => item.name));
assert.deepEqual(await all(client.listObjects(bucket, "", true)), []);
assert.deepEqual(await all(client.listIncompleteUploads(bucket, "", true)), []);
await client.removeBucket(bucket);
passed("lists and removal");
