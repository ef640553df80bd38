import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";

import {
  type BlobDigest,
  type ContainerBuilderClient,
  Directory,
  type FindMissingBlobsResponse,
  type FindMissingBlobsResponse_MissingBlob as MissingBlob,
  UploadBlobsRequest,
  type UploadBlobsResponse,
} from "../gen/containerbuilder/v1/container_builder.js";

const PIECE_BYTES = 1 << 20;

/** Reads a file in pieces. */
async function* readPieces(file: FileHandle, offset: number): AsyncGenerator<Buffer> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE_BYTES), 0, PIECE_BYTES, offset);
    if (!bytesRead) return;
    yield buffer.subarray(0, bytesRead);
    offset += bytesRead;
  }
}

async function* cut(content: Buffer, offset: number): AsyncGenerator<Buffer> {
  for (; offset < content.length; offset += PIECE_BYTES) yield content.subarray(offset, offset + PIECE_BYTES);
}

/**
 * A folder as contents by their digests, so that only those are sent that the service lacks. `.dockerignore` is the
 * service's to apply. Names are bytes, which need not be UTF-8.
 */
class Tree {
  readonly blobs = new Map<string, BlobDigest>();
  /** A file's path, or a folder's Directory. */
  private readonly sources = new Map<string, { path: Buffer } | { content: Buffer }>();

  async addFolder(folder: Buffer): Promise<BlobDigest> {
    const directory = Directory.fromPartial({});
    // Sorted by the bytes of their names, so that the same folder is the same Directory.
    for (const name of readdirSync(folder, { encoding: "buffer" }).sort(Buffer.compare)) {
      const path = Buffer.concat([folder, Buffer.from("/"), name]);
      const stat = lstatSync(path, { bigint: true });
      const mode = Number(stat.mode & 0o777n);
      const [seconds, nanos] = [stat.mtimeNs / 1_000_000_000n, stat.mtimeNs % 1_000_000_000n].map(Number);
      const modifyTime = { seconds, nanos };
      if (stat.isFile()) {
        directory.files.push({ name, blob: await this.addFile(path), mode, modifyTime });
      } else if (stat.isDirectory()) {
        directory.directories.push({ name, blob: await this.addFolder(path), mode, modifyTime });
      } else if (stat.isSymbolicLink()) {
        directory.symlinks.push({ name, target: readlinkSync(path, { encoding: "buffer" }), modifyTime });
      }
    }
    const content = Buffer.from(Directory.encode(directory).finish());
    return this.add(createHash("sha256").update(content).digest("hex"), content.length, { content });
  }

  /** The pieces of contents, each from where the service has it; the first of each says which it is. */
  async *pieces(missing: MissingBlob[]): AsyncGenerator<UploadBlobsRequest> {
    for (const { blob, committedBytes } of missing) {
      const source = this.sources.get(blob!.digest)!;
      const file = "path" in source ? await open(source.path) : undefined;
      try {
        let offset = committedBytes;
        let first: BlobDigest | undefined = blob;
        const pieces = "path" in source ? readPieces(file!, offset) : cut(source.content, offset);
        for await (const data of pieces) {
          yield { blob: first, offset, data };
          first = undefined;
          offset += data.length;
        }
        // An empty content has one piece as well.
        if (first) yield { blob: first, offset, data: Buffer.alloc(0) };
      } finally {
        await file?.close();
      }
    }
  }

  private async addFile(path: Buffer): Promise<BlobDigest> {
    const hash = createHash("sha256");
    const file = await open(path);
    try {
      let size = 0;
      for await (const data of readPieces(file, 0)) {
        hash.update(data);
        size += data.length;
      }
      return this.add(hash.digest("hex"), size, { path });
    } finally {
      await file.close();
    }
  }

  private add(sha256: string, sizeBytes: number, source: { path: Buffer } | { content: Buffer }): BlobDigest {
    const blob = { digest: `sha256:${sha256}`, sizeBytes };
    this.blobs.set(blob.digest, blob);
    this.sources.set(blob.digest, source);
    return blob;
  }
}

/** Sends what the service lacks of a folder; `contextDigest` is for BuildSpec. */
export async function uploadFolder(client: ContainerBuilderClient, folder: string) {
  const tree = new Tree();
  const { digest } = await tree.addFolder(Buffer.from(folder));
  // At most 10,000 a call: larger contexts ask several times.
  const { missingBlobs } = await new Promise<FindMissingBlobsResponse>((resolve, reject) => {
    const request = { blobs: [...tree.blobs.values()] };
    client.findMissingBlobs(request, (error, response) => (error ? reject(error) : resolve(response)));
  });
  let uploadedBytes = 0;
  if (missingBlobs.length) {
    const answer = await new Promise<UploadBlobsResponse>((resolve, reject) => {
      const call = client.uploadBlobs((error, response) => (error ? reject(error) : resolve(response)));
      // As fast as the service takes it.
      Readable.from(tree.pieces(missingBlobs)).on("error", reject).pipe(call as unknown as Writable);
    });
    uploadedBytes = answer.receivedBytes;
  }
  return { contextDigest: digest, blobs: tree.blobs.size, uploadedBlobs: missingBlobs.length, uploadedBytes };
}
