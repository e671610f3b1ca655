// An append-only log that survives crashes; examples/log.ts is a program for it.
//
// A record is in it, whole, once append() has returned; if the process or the
// machine fails before, it may be in it, whole, or not. Several processes may
// append to the same log, which is a file or a whole device DAX.
//
// On the medium: a signature at 0, the state in two slots at 64 and 128, records
// from 192 on. A state is a 64-bit number that counts its changes, the 64-bit
// count of bytes used, and their checksum; a record is its length, its checksum
// and its data. Numbers are little-endian.

import { crc32 } from "node:zlib";
import { type MapOptions, type OpenOptions, Pmem2Map } from "@pmem2/pmem2";

const SIGNATURE = new TextEncoder().encode("PMEM2LOG");
const SLOTS = [64, 128];
const SLOT_SIZE = 20;
const RECORDS = 192;
const RECORD_HEADER = 8;

/** What the file systems and partition tables of this world begin within. */
const BLANK = 2 ** 20;

interface State {
  readonly change: bigint;
  readonly used: number;
}

/** A durable log of records. */
export class Log implements Disposable, Iterable<Uint8Array<ArrayBuffer>> {
  readonly #map: Pmem2Map;
  /** Held open for its lock, which ends with the process, however that ends. */
  readonly #file: Deno.FsFile;
  #resources = new DisposableStack();

  private constructor(map: Pmem2Map, file: Deno.FsFile) {
    this.#map = map;
    this.#file = file;
  }

  /** Opens a log; what begins with zeros becomes an empty one. */
  static open(
    path: string,
    options?: OpenOptions & Pick<MapOptions, "length" | "granularity">,
  ): Log {
    using resources = new DisposableStack();
    const map = resources.use(Pmem2Map.open(path, options));
    const file = resources.use(Deno.openSync(path));
    const log = new Log(map, file);
    log.#locked(map.writable, () => log.#prepare(path));
    log.#resources = resources.move();
    return log;
  }

  /** Bytes that are free, for records and 8 bytes with each. */
  get free(): number {
    return this.#capacity - this.#locked(false, () => this.#state()).used;
  }

  /** Appends a record, for good once this returns. */
  append(record: Uint8Array): void {
    this.appendv([record]);
  }

  /** Appends records, all of them or none. */
  appendv(records: readonly Uint8Array[]): void {
    this.#locked(true, () => {
      const { change, used } = this.#state();
      const frames = frame(records, RECORDS + used);
      const free = this.#capacity - used;
      if (frames.length > free) {
        throw new RangeError(
          `Cannot append as ${frames.length} bytes are needed: ${free} are free`,
        );
      }
      // The order is all that matters: write() returns when the bytes are
      // durable, and only then does the state count them in.
      this.#map.write(frames, RECORDS + used);
      this.#advance({ change: change + 1n, used: used + frames.length });
    });
  }

  /** Empties the log. */
  rewind(): void {
    this.#locked(true, () => {
      this.#advance({ change: this.#state().change + 1n, used: 0 });
    });
  }

  /** The records that are there when the iteration starts, oldest first. */
  *[Symbol.iterator](): Generator<Uint8Array<ArrayBuffer>, undefined> {
    const end = RECORDS + this.#locked(false, () => this.#state()).used;
    for (let at = RECORDS; at < end;) {
      const header = new DataView(this.#read(at, RECORD_HEADER).buffer);
      const start = at + RECORD_HEADER;
      const length = header.getUint32(0, true);
      const record = length <= end - start ? this.#read(start, length) : null;
      if (!record || header.getUint32(4, true) !== checksum(record, at)) {
        throw new Error(
          `Cannot read the record at ${at} as it is damaged, or the log was rewound`,
        );
      }
      yield record;
      at = start + length;
    }
  }

  close(): void {
    this.#resources.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #capacity(): number {
    return this.#map.size - RECORDS;
  }

  #read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.#map.read(bytes, offset);
    return bytes;
  }

  #locked<T>(exclusive: boolean, action: () => T): T {
    this.#file.lockSync(exclusive);
    try {
      return action();
    } finally {
      this.#file.unlockSync();
    }
  }

  /** Makes a log of a new file, also where that was begun and cut short. */
  #prepare(path: string): void {
    const cannot = `Cannot open ${path} as a log as`;
    if (this.#capacity < 0) {
      throw new Error(`${cannot} it has less than ${RECORDS} bytes`);
    }
    if (this.#newest() !== undefined) return;
    const header = new Uint8Array(RECORDS);
    header.set(SIGNATURE);
    header.set(encode({ change: 0n, used: 0 }), SLOTS[0]);
    const found = this.#read(0, Math.min(this.#map.size, BLANK));
    if (!found.every((byte, i) => byte === 0 || byte === header[i])) {
      throw new Error(`${cannot} it is something else, or damaged`);
    }
    if (!this.#map.writable) throw new Error(`${cannot} it has yet to be made`);
    this.#map.write(header);
  }

  #state(): State {
    const state = this.#newest();
    if (state === undefined || state.used > this.#capacity) {
      throw new Error(
        "Cannot use the log as it is damaged, or has grown since it was opened",
      );
    }
    return state;
  }

  #newest(): State | undefined {
    const header = this.#read(0, RECORDS);
    if (!SIGNATURE.every((byte, i) => byte === header[i])) return undefined;
    return SLOTS.map((at) => decode(header.subarray(at, at + SLOT_SIZE)))
      .filter((state) => state !== undefined)
      .sort((a, b) => a.change < b.change ? 1 : -1)[0];
  }

  /**
   * Writes to the slot of the state before the last. A copy is not atomic, not
   * even of 8 bytes: if this one is torn, the last state still holds.
   */
  #advance(state: State): void {
    this.#map.write(encode(state), SLOTS[Number(state.change % 2n)]);
  }
}

function encode({ change, used }: State): Uint8Array {
  const bytes = new Uint8Array(SLOT_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, change, true);
  view.setBigUint64(8, BigInt(used), true);
  view.setUint32(16, crc32(bytes.subarray(0, 16)), true);
  return bytes;
}

function decode(slot: Uint8Array): State | undefined {
  const view = new DataView(slot.buffer, slot.byteOffset);
  const change = view.getBigUint64(0, true);
  const used = Number(view.getBigUint64(8, true));
  const whole = view.getUint32(16, true) === crc32(slot.subarray(0, 16));
  return whole ? { change, used } : undefined;
}

/** Records as they are stored from an offset on. */
function frame(records: readonly Uint8Array[], offset: number): Uint8Array {
  let length = 0;
  for (const record of records) length += RECORD_HEADER + record.length;
  const frames = new Uint8Array(length);
  const view = new DataView(frames.buffer);
  let at = 0;
  for (const record of records) {
    view.setUint32(at, record.length, true);
    view.setUint32(at + 4, checksum(record, offset + at), true);
    frames.set(record, at + RECORD_HEADER);
    at += RECORD_HEADER + record.length;
  }
  return frames;
}

/** It depends on the place, so that what was moved there is not a record. */
function checksum(record: Uint8Array, offset: number): number {
  return crc32(record, offset % 2 ** 32);
}
