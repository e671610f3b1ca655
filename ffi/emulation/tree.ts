/**
 * Reads a directory with everything in it, and makes it again.
 *
 * @module
 */

import {
  closeDescriptor,
  type FileStatus,
  openDescriptor,
  openToRead,
  readChanges,
  statusOfDescriptor,
  statusOfPath,
  truncate,
  writeBlock,
} from "./contents.ts";
import { Image, ZEROS } from "./image.ts";

/** An entry of a directory, with its path in the directory. */
export type Entry =
  & { readonly path: string; readonly mode: number }
  & (
    | { readonly kind: "directory" }
    | { readonly kind: "link"; readonly target: string }
    | {
      readonly kind: "file";
      readonly key: string;
      /** The contents, or null if a model of the file exists. */
      readonly image: Image | null;
    }
  );

/** The resolution of the times of files, in nanoseconds. */
const TICK = 50_000_000n;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const PERMISSIONS = 0o777;
const OWNER_DOES_ALL = 0o700;

/** Reads a directory repeatedly. */
export class TreeReader {
  readonly #directory: string;
  /** The contents of files, and when each was last changed before it was read. */
  readonly #known = new Map<
    string,
    { changed: bigint; sure: boolean; image: Image }
  >();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads all entries, with the contents of all files that are not known. */
  read(isKnown: (key: string) => boolean): Entry[] {
    const entries: Entry[] = [];
    this.#read("", isKnown, entries);
    return entries;
  }

  #read(
    folder: string,
    isKnown: (key: string) => boolean,
    entries: Entry[],
  ): void {
    const names = [...Deno.readDirSync(`${this.#directory}/${folder}`)]
      .sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, isDirectory, isSymlink } of names) {
      const path = `${folder}${name}`;
      const full = `${this.#directory}/${path}`;
      const status = statusOfPath(full);
      if (status === null) continue;
      const { key, mode } = status;
      if (isDirectory) {
        entries.push({ kind: "directory", path, mode });
        this.#read(`${path}/`, isKnown, entries);
      } else if (isSymlink) {
        const target = Deno.readLinkSync(full);
        entries.push({ kind: "link", path, mode, target });
      } else if ((mode & S_IFMT) === S_IFREG) {
        const image = isKnown(key) ? null : this.#image(full, status);
        entries.push({ kind: "file", path, mode, key, image });
      }
    }
  }

  #image(path: string, { key, size, changed }: FileStatus): Image {
    const known = this.#known.get(key);
    if (known?.sure && known.changed === changed) return known.image;
    const sure = BigInt(Date.now()) * 1_000_000n - changed > TICK;
    const before = known?.image ?? new Image(size);
    const image = before.copy();
    image.resize(size);
    let same = before.size === size;
    const fd = openToRead(path);
    try {
      readChanges(fd, image, 0, size, (index, block) => {
        image.set(index, block);
        same = false;
      });
    } finally {
      closeDescriptor(fd);
    }
    const result = same ? before : image;
    this.#known.set(key, { changed, sure, image: result });
    return result;
  }
}

/** A file that the last call has written. */
interface WrittenFile {
  readonly fd: number;
  readonly key: string;
  image: Image;
}

/** PERF: up to this number, files are kept open, and only changes are written to them. */
const MAX_OPEN = 64;

/**
 * The modification time that written files are given. It changes as soon as anyone writes
 * to them.
 */
const LONG_AGO = 1;

/** Makes a directory repeatedly, with files that differ little. */
export class TreeWriter {
  readonly #directory: string;
  #files = new Map<string, WrittenFile>();
  #shape = "";

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Makes the directory as the entries say.
   *
   * PERF: creating and removing a file of 1 MiB takes four times as long as finding out
   * what has changed in it and writing that.
   *
   * @param fresh Whether all files must be new.
   */
  write(
    entries: readonly Entry[],
    imageOf: (entry: Entry & { kind: "file" }) => Image,
    fresh: boolean,
  ): void {
    const shape = shapeOf(entries);
    const again = !fresh && shape === this.#shape && this.#isAsWritten(entries);
    if (!again) this.#make(entries, shape);
    const seen = new Set<string>();
    for (const entry of entries) {
      if (entry.kind !== "file" || seen.has(entry.key)) continue;
      seen.add(entry.key);
      const path = `${this.#directory}/${entry.path}`;
      const image = imageOf(entry);
      const file = this.#files.get(entry.path);
      if (file === undefined) {
        const fd = openDescriptor(path);
        writeChanges(fd, new Image(0), image);
        closeDescriptor(fd);
      } else {
        const actual = file.image.copy();
        if (again) lookAgain(file.fd, actual);
        writeChanges(file.fd, actual, image);
        file.image = image;
      }
      if (image.size > 0) Deno.utimeSync(path, LONG_AGO, LONG_AGO);
    }
  }

  /** Whether a file still has the contents that were written to it. */
  isUntouched(path: string): boolean {
    const relative = path.slice(this.#directory.length + 1);
    const file = this.#files.get(relative);
    if (file === undefined) return false;
    const status = statusOfPath(path);
    return status?.key === file.key && status.size === file.image.size &&
      status.modified === BigInt(LONG_AGO) * 1_000_000_000n;
  }

  /** Closes the files that are kept open. */
  end(): void {
    for (const { fd } of this.#files.values()) closeDescriptor(fd);
    this.#files.clear();
    this.#shape = "";
  }

  #isAsWritten(entries: readonly Entry[]): boolean {
    for (const [path, { key }] of this.#files) {
      const status = statusOfPath(`${this.#directory}/${path}`);
      if (status?.key !== key || status.links > 1) return false;
    }
    const found = new TreeReader(this.#directory).read(() => true);
    return found.length === entries.length && shapeOf(found) === this.#shape;
  }

  #make(entries: readonly Entry[], shape: string): void {
    this.end();
    for (const { name } of Deno.readDirSync(this.#directory)) {
      removeTree(`${this.#directory}/${name}`);
    }
    const made = new Map<string, string>();
    for (const entry of entries) {
      const path = `${this.#directory}/${entry.path}`;
      const mode = entry.mode & PERMISSIONS;
      if (entry.kind === "directory") {
        Deno.mkdirSync(path, { mode: mode | OWNER_DOES_ALL });
      } else if (entry.kind === "link") {
        Deno.symlinkSync(entry.target, path);
      } else if (made.has(entry.key)) {
        Deno.linkSync(made.get(entry.key)!, path);
      } else {
        made.set(entry.key, path);
        Deno.openSync(path, { createNew: true, write: true, mode }).close();
        // The mode of a new file is less the umask.
        Deno.chmodSync(path, mode);
      }
    }
    for (const { kind, path, mode } of entries) {
      if (kind !== "directory") continue;
      Deno.chmodSync(`${this.#directory}/${path}`, mode & PERMISSIONS);
    }
    const files = entries.filter(({ kind }) => kind === "file");
    if (files.length > MAX_OPEN || made.size < files.length) return;
    for (const { path } of files) {
      const full = `${this.#directory}/${path}`;
      const { key } = statusOfPath(full)!;
      const fd = openDescriptor(full);
      this.#files.set(path, { fd, key, image: new Image(0) });
    }
    this.#shape = shape;
  }
}

/** Removes a file or a directory, even if directories in it cannot be written to. */
export function removeTree(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    makeWritable(path);
    Deno.removeSync(path, { recursive: true });
  }
}

function makeWritable(directory: string): void {
  Deno.chmodSync(directory, OWNER_DOES_ALL);
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    if (isDirectory) makeWritable(`${directory}/${name}`);
  }
}

/** Returns the names and kinds of all entries as a string. */
function shapeOf(entries: readonly Entry[]): string {
  return JSON.stringify(entries.map((entry) => [
    entry.kind,
    entry.path,
    entry.mode,
    entry.kind === "link" ? entry.target : "",
  ]));
}

/** Updates an image of a file with what has changed. */
function lookAgain(fd: number, image: Image): void {
  const { size } = statusOfDescriptor(fd);
  if (size !== image.size) image.resize(size);
  readChanges(fd, image, 0, size, (index, block) => image.set(index, block));
}

function writeChanges(fd: number, actual: Image, wanted: Image): void {
  if (actual.size !== wanted.size) {
    truncate(fd, wanted.size);
    actual.resize(wanted.size);
  }
  for (const [index, block] of wanted.blocks) {
    if (actual.get(index) === block) continue;
    writeBlock(fd, index, block, wanted.size);
  }
  for (const index of actual.blocks.keys()) {
    if (wanted.blocks.has(index)) continue;
    writeBlock(fd, index, ZEROS, wanted.size);
  }
}
