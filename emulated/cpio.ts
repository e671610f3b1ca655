/**
 * Archives as Linux unpacks them for its first root file system ("newc").
 *
 * @module
 */

/** A file of an archive, or a folder where it has no content. */
export interface CpioEntry {
  /** Without a leading slash; its folders come before it. */
  name: string;
  /** Permissions, as in 0o755. */
  mode: number;
  content?: Uint8Array | string;
}

const folderType = 0o040000;
const fileType = 0o100000;

/** Packs the entries; archives may be put one after the other. */
export function packCpio(
  entries: Iterable<CpioEntry>,
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let inode = 0;
  for (const { name, mode, content } of entries) {
    const type = content === undefined ? folderType : fileType;
    parts.push(...pack(++inode, name, type | mode, content ?? ""));
  }
  parts.push(...pack(0, "TRAILER!!!", 0, ""));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const archive = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    archive.set(part, offset);
    offset += part.length;
  }
  return archive;
}

function pack(
  inode: number,
  name: string,
  mode: number,
  content: Uint8Array | string,
): Uint8Array[] {
  const encoder = new TextEncoder();
  const data = typeof content === "string" ? encoder.encode(content) : content;
  const path = encoder.encode(`${name}\0`);
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    1, // links
    0, // mtime
    data.length,
    0, // the device, in two parts
    0,
    0, // what a device file stands for, in two parts
    0,
    path.length,
    0, // checksum
  ];
  const header = encoder.encode(
    "070701" +
      fields.map((field) => field.toString(16).padStart(8, "0")).join(""),
  );
  return [
    header,
    path,
    padding(header.length + path.length),
    data,
    padding(data.length),
  ];
}

/** What is missing to a multiple of four bytes. */
function padding(length: number): Uint8Array {
  return new Uint8Array((4 - length % 4) % 4);
}
