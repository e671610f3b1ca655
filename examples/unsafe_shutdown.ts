// Tells after a crash whether a file on persistent memory can still be trusted. For
// that, the file stores which device it is on, how many unsafe shutdowns the device had,
// and whether the file is in use.
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. --allow-write=. examples/unsafe_shutdown.ts write FILE TEXT
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. examples/unsafe_shutdown.ts read FILE
//
// The file must exist: `truncate -s 4096 FILE` makes one.
//
// If a medium does not count unsafe shutdowns, one question stays open: whether a file
// that was in use is intact.

import { Pmem2Error, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { runProgram, UsageError } from "./program.ts";

const SIGNATURE = "PMEM2USC";
const IN_USE = 8;
const SHUTDOWNS = 16;
const DEVICE = 24; // ended by a NUL
const TEXT = 256; // likewise

const messages = {
  "new": "nothing was written yet",
  "clean": "it was closed cleanly",
  "sound": "its last use was interrupted, but the device lost nothing",
  "corrupted": "the device lost power while it was in use: it may be corrupted",
  "unknown": "its last use was interrupted, and the device can't tell the rest",
} as const;

/** What the device of a file says about itself; empty and 0 if it says nothing. */
interface Device {
  readonly id: string;
  readonly shutdowns: bigint;
}

function deviceOf(source: Pmem2Source): Device {
  try {
    return { id: source.deviceId(), shutdowns: source.unsafeShutdownCount() };
  } catch (error) {
    if (error instanceof Pmem2Error && error.code === "PMEM2_E_NOSUPP") {
      return { id: "", shutdowns: 0n };
    }
    throw error;
  }
}

/** Returns what the file starts with while it is not in use. */
function headerOf({ id, shutdowns }: Device): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(TEXT);
  const encoder = new TextEncoder();
  encoder.encodeInto(SIGNATURE, header);
  new DataView(header.buffer).setBigUint64(SHUTDOWNS, shutdowns, true);
  encoder.encodeInto(id, header.subarray(DEVICE, TEXT - 1));
  return header;
}

/** Tells what is known about the last time that the file was open. */
export function judge(
  before: Device & { readonly inUse: boolean },
  now: Device,
): "clean" | "sound" | "corrupted" | "unknown" {
  if (!before.inUse) return "clean";
  if (now.id === "" || now.id !== before.id) return "unknown";
  return now.shutdowns === before.shutdowns ? "sound" : "corrupted";
}

/** A file with a text that tells how it was closed. */
export class GuardedFile implements Disposable {
  readonly shutdown: keyof typeof messages;
  readonly #map: Pmem2Map;

  constructor(path: string, { write }: { write: boolean }) {
    using source = Pmem2Source.open(path, { write });
    using resources = new DisposableStack();
    this.#map = resources.use(Pmem2Map.from(source, { write }));
    if (this.#map.size <= TEXT) {
      throw new RangeError(
        `Cannot use ${path} as it has only ${this.#map.size} bytes`,
      );
    }
    const now = deviceOf(source);
    this.shutdown = this.#judge(path, now);
    if (write) this.#begin(now);
    resources.move();
  }

  get text(): string {
    return this.#readText(TEXT, this.#map.size - TEXT);
  }

  set text(text: string) {
    const bytes = new TextEncoder().encode(text + "\0");
    const room = this.#map.size - TEXT;
    if (bytes.length > room) {
      throw new RangeError(
        `Cannot write ${bytes.length} bytes as there is room for ${room}`,
      );
    }
    this.#map.write(bytes, TEXT);
  }

  /** Deep flushes the text, and only then marks the file as not in use. */
  [Symbol.dispose](): void {
    if (this.#map.writable) {
      this.#map.deepFlush();
      this.#setInUse(false);
    }
    this.#map.close();
  }

  #judge(path: string, now: Device): keyof typeof messages {
    const header = new Uint8Array(TEXT);
    this.#map.read(header);
    const view = new DataView(header.buffer);
    if (this.#readText(0, SIGNATURE.length) !== SIGNATURE) {
      // Its first use may have been interrupted.
      const begun = headerOf(now);
      if (header.every((byte, i) => byte === 0 || byte === begun[i])) {
        return "new";
      }
      throw new Error(`Cannot use ${path} as it is something else`);
    }
    return judge({
      inUse: header[IN_USE] !== 0,
      shutdowns: view.getBigUint64(SHUTDOWNS, true),
      id: this.#readText(DEVICE, TEXT - DEVICE),
    }, now);
  }

  #begin(now: Device): void {
    const header = headerOf(now);
    // A mark that a crash has left stays: a file that was in use stays marked.
    this.#map.read(header.subarray(IN_USE, IN_USE + 1), IN_USE);
    this.#map.write(header);
    this.#map.deepFlush(0, TEXT);
    this.#setInUse(true);
  }

  #setInUse(inUse: boolean): void {
    this.#map.write(Uint8Array.of(inUse ? 1 : 0), IN_USE);
    this.#map.deepFlush(IN_USE, 1);
  }

  #readText(offset: number, length: number): string {
    const bytes = new Uint8Array(length);
    this.#map.read(bytes, offset);
    return new TextDecoder().decode(bytes).split("\0", 1)[0]!;
  }
}

function main([command, path, ...texts]: string[]): void {
  const [text] = texts;
  if (
    path === undefined ||
    !(command === "write" && texts.length === 1 ||
      command === "read" && texts.length === 0)
  ) throw new UsageError();
  using file = new GuardedFile(path, { write: text !== undefined });
  const { shutdown } = file;
  console.error(`${path}: ${messages[shutdown]}`);
  if (text !== undefined) file.text = text;
  else if (shutdown !== "corrupted") console.log(file.text);
  else throw new Error("Cannot read what may be corrupted");
}

if (import.meta.main) {
  await runProgram("unsafe_shutdown.ts write FILE TEXT | read FILE", main);
}
