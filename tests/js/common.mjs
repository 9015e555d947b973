// What the two clients share: where the store is, content that can be recomputed, its digest.

import { createHash } from "node:crypto";

export const [endpoint, bucket] = process.argv.slice(2);
export const accessKey = process.env.AWS_ACCESS_KEY_ID;
export const secretKey = process.env.AWS_SECRET_ACCESS_KEY;
export const region = "us-east-1";
export const MIB = 1024 * 1024;
// Above the size at which both clients upload in parts.
export const LARGE = 41 * MIB + 7;

// `size` bytes that depend on `seed` alone: a counter under a hash, repeated with the block number.
export function content(seed, size) {
  const block = createHash("sha512").update(`${seed}`).digest();
  const bytes = Buffer.alloc(size);
  for (let start = 0; start < size; start += 64) {
    block.copy(bytes, start);
    if (start + 4 <= size) bytes.writeUInt32LE(start / 64, start);
  }
  return bytes;
}

export const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

export async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

// The test that runs us counts these lines.
export const passed = (step) => console.log(`passed: ${step}`);
