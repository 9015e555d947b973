// The AWS SDK for JavaScript: objects, streams, managed uploads, conditions, pages, links, deletes.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand,
  GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListMultipartUploadsCommand,
  ListObjectsV2Command, PutObjectCommand, S3Client, paginateListObjectsV2, waitUntilBucketExists,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import {
  LARGE, MIB, accessKey, bucket, collect, content, digest, endpoint, passed, region, secretKey,
} from "./common.mjs";

const options = {
  endpoint, region, forcePathStyle: true, maxAttempts: 1,
  credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
};
const s3 = new S3Client(options);
const Bucket = bucket;
const get = async (Key, more = {}) => {
  const answer = await s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return Buffer.from(await answer.Body.transformToByteArray());
};

await s3.send(new CreateBucketCommand({ Bucket }));
await waitUntilBucketExists({ client: s3, maxWaitTime: 10 }, { Bucket });
await assert.rejects(s3.send(new HeadBucketCommand({ Bucket: "nobody-made-this" })), { name: "NotFound" });
passed("buckets");

for (const size of [0, 1, 16 * 1024, 16 * 1024 + 1, 2 * MIB + 3]) {
  const Key = `a b/${size}+ü`;
  const Body = content(size, size);
  const put = await s3.send(new PutObjectCommand({
    Bucket, Key, Body, ContentType: "text/x-test", Metadata: { colour: "blue" } }));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key }));
  assert.deepEqual(
    [head.ContentLength, head.ETag, head.ContentType, head.Metadata.colour],
    [size, put.ETag, "text/x-test", "blue"]);
  // The SDK verifies the checksum the store kept.
  assert.equal(digest(await get(Key, { ChecksumMode: "ENABLED" })), digest(Body));
}
assert.deepEqual(await get("a b/16384+ü", { Range: "bytes=7-9" }), content(16384, 16384).subarray(7, 10));
await assert.rejects(get("none"), { name: "NoSuchKey" });
passed("objects");

for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
  const Body = content(ChecksumAlgorithm, 300_000);
  await s3.send(new PutObjectCommand({ Bucket, Key: "summed", Body, ChecksumAlgorithm }));
  assert.equal(digest(await get("summed", { ChecksumMode: "ENABLED" })), digest(Body));
}
passed("checksums");

const large = content("large", LARGE);
function* pieces() {
  for (let start = 0; start < LARGE; start += 3 * MIB) yield large.subarray(start, start + 3 * MIB);
}
const upload = new Upload({
  client: s3, partSize: 6 * MIB, queueSize: 4,
  params: { Bucket, Key: "large", Body: Readable.from(pieces()) },
});
await upload.done();
assert.equal(digest(await get("large")), digest(large));
await s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${bucket}/large` }));
assert.equal(digest(await get("copy")), digest(large));
const uploads = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
assert.equal((uploads.Uploads ?? []).length, 0);
passed("a streamed upload in parts and its copy");

const once = (more) => s3.send(new PutObjectCommand({ Bucket, Key: "once", Body: "x", ...more }));
const { ETag } = await once({ IfNoneMatch: "*" });
await assert.rejects(once({ IfNoneMatch: "*" }), { name: "PreconditionFailed" });
await once({ IfMatch: ETag });
await assert.rejects(get("once", { IfNoneMatch: ETag }), (error) => error.$metadata.httpStatusCode === 304);
passed("conditions");

// Left to itself the SDK signs the checksum of an empty body into a link for a put: the store holds
// the sender to it, as S3 does. So whoever makes such links turns the checksum off.
const emptyLink = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
const refusal = await fetch(emptyLink, { method: "PUT", body: "by link" });
assert.match(emptyLink, /x-amz-checksum-crc32=AAAAAA/);
assert.equal(refusal.status, 400);
assert.match(await refusal.text(), /<Code>BadDigest</);
const signer = new S3Client({ ...options, requestChecksumCalculation: "WHEN_REQUIRED" });
const putLink = await getSignedUrl(signer, new PutObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
assert.equal((await fetch(putLink, { method: "PUT", body: "by link" })).status, 200);
const getLink = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
assert.equal(await (await fetch(getLink)).text(), "by link");
assert.equal((await fetch(getLink.replace("linked", "large"))).status, 403);
passed("links");

for (let number = 0; number < 30; number++) {
  await s3.send(new PutObjectCommand({ Bucket, Key: `page/${number % 3}/${number}`, Body: "x" }));
}
const keys = [];
for await (const page of paginateListObjectsV2({ client: s3, pageSize: 7 }, { Bucket })) {
  keys.push(...(page.Contents ?? []).map((entry) => entry.Key));
}
assert.equal(keys.length, 40);
assert.deepEqual(keys, [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
const folders = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: "page/", Delimiter: "/" }));
assert.deepEqual(folders.CommonPrefixes.map((prefix) => prefix.Prefix), ["page/0/", "page/1/", "page/2/"]);
const gone = await s3.send(new DeleteObjectsCommand({
  Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
assert.deepEqual([gone.Deleted.length, gone.Errors], [40, undefined]);
await s3.send(new DeleteBucketCommand({ Bucket }));
passed("pages and deletes");
