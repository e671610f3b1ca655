// An append-only log that survives crashes, and grows; examples/log.ts is a program
// for it.
//
// Once append() returns, the record is in the log. If the process or the machine fails
// before that, the log has all of the record, or nothing of it. Several processes may
// append to the same log, which is a file or a whole device DAX. A file grows as it
// fills. Address space costs nothing, so plenty is reserved, and each new part of the
// file is mapped after the last one. A record may cross the border between parts. When
// one process has made the file larger, the others map the new part when they need it.
// (A device does not grow.)
//
// On the medium: a signature at 0, the state in two slots at 64 and 128, records
// from 192 on. A state is a 64-bit number that counts its changes, the 64-bit
// count of bytes used, and their checksum; a record is its length, its checksum
// and its data. Numbers are little-endian.

import { crc32 } from "node:zlib";
import {
  type Granularity,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";

const SIGNATURE = new TextEncoder().encode("PMEM2LOG");
const SLOTS = [64, 128];
const SLOT_SIZE = 20;
const RECORDS = 192;
const RECORD_HEADER = 8;

/** File systems and partition tables have their signatures in this many bytes. */
const BLANK = 2 ** 20;

/** The default limit of a log. This many bytes of addresses are reserved. */
const LIMIT = 2 ** 40;
/** A log doubles its size when it grows, but adds at most this many bytes. */
const MOST_GROWTH = 2 ** 26;

/** How to open a log. */
export interface LogOptions {
  /** Whether to append to it. Defaults to true. */
  readonly write?: boolean;
  /** Whether to create the file if it does not exist. */
  readonly create?: boolean;
  /** The least size of the file. Defaults to a page for a new file. */
  readonly size?: number;
  /** The size up to which the file may grow. */
  readonly limit?: number;
  /** The coarsest store granularity to accept. */
  readonly granularity?: Granularity;
}

interface State {
  readonly change: bigint;
  readonly used: number;
}

/** A durable log of records. */
export class Log implements Disposable, Iterable<Uint8Array<ArrayBuffer>> {
  readonly #path: string;
  readonly #options: { write: boolean; granularity: Granularity };
  /** The parts of the file, side by side. */
  readonly #memory: Pmem2VmReservation;
  /** Held open for its lock, which is released when the process ends, in any way. */
  readonly #file: Deno.FsFile;
  readonly #alignment: number;
  readonly #limit: number;
  #mapped = 0;
  #resources = new DisposableStack();

  private constructor(
    path: string,
    options: LogOptions,
    resources: DisposableStack,
  ) {
    const { write = true, create = false, granularity = "page" } = options;
    {
      using source = Pmem2Source.open(path, { write, create });
      this.#alignment = source.alignment;
      const { isFile, size } = Deno.statSync(path);
      this.#limit = isFile
        ? Math.max(options.limit ?? LIMIT, size, options.size ?? 0)
        : source.size;
    }
    // The working directory may have changed when the file grows.
    this.#path = Deno.realPathSync(path);
    this.#options = { write, granularity };
    this.#memory = resources.use(
      new Pmem2VmReservation(this.#aligned(this.#limit)),
    );
    this.#file = resources.use(Deno.openSync(this.#path));
    this.#locked(write, () => {
      const least = create ? this.#alignment : 0;
      const size = Math.max(options.size ?? 0, least);
      this.#mapRest(write && size > 0 ? size : undefined);
      this.#prepare(path);
    });
  }

  /** Opens a log. A file that starts with zeros becomes an empty log. */
  static open(path: string, options: LogOptions = {}): Log {
    using resources = new DisposableStack();
    const log = new Log(path, options, resources);
    log.#resources = resources.move();
    return log;
  }

  /** How many bytes are free up to the limit. Each record takes 8 bytes more. */
  get free(): number {
    const { used } = this.#locked(false, () => this.#state());
    return this.#limit - RECORDS - used;
  }

  /** Appends a record. It is durable when this returns. */
  append(record: Uint8Array): void {
    this.appendv([record]);
  }

  /** Appends records, all of them or none. */
  appendv(records: readonly Uint8Array[]): void {
    if (!this.#options.write) {
      throw new TypeError("Cannot append as the log was opened to be read");
    }
    this.#locked(true, () => {
      const { change, used } = this.#state();
      const frames = frame(records, RECORDS + used);
      this.#makeRoom(frames.length, used);
      // Only the order matters: when write() returns, the bytes are durable, and only
      // after that does the state include them.
      this.#memory.write(frames, RECORDS + used);
      this.#advance({ change: change + 1n, used: used + frames.length });
    });
  }

  /** Empties the log; the file keeps its size. */
  rewind(): void {
    this.#locked(true, () => {
      this.#advance({ change: this.#state().change + 1n, used: 0 });
    });
  }

  /** Lists the records that exist when the iteration starts, the oldest first. */
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

  #read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.#memory.read(bytes, offset);
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

  #aligned(size: number): number {
    return Math.ceil(size / this.#alignment) * this.#alignment;
  }

  /** Makes room for more bytes. The file grows if it must. */
  #makeRoom(length: number, used: number): void {
    const free = this.#limit - RECORDS - used;
    if (length > free) {
      throw new RangeError(
        `Cannot append as ${length} bytes are needed: ${free} are free`,
      );
    }
    const end = RECORDS + used + length;
    if (end <= this.#mapped) return;
    const grown = this.#mapped + Math.min(this.#mapped, MOST_GROWTH);
    const size = this.#aligned(Math.max(end, grown));
    this.#mapRest(Math.min(size, this.#limit));
  }

  /** Grows the file to this size if it is smaller, and maps what is not mapped yet. */
  #mapRest(size?: number): void {
    const last = this.#memory.findLast();
    // A file that ended inside a page continues there.
    if (last !== null && last.size % this.#alignment !== 0) {
      this.#mapped = last.offset;
      last.close();
    }
    const room = this.#memory.size - this.#mapped;
    const rest = this.#file.statSync().size - this.#mapped;
    const map = this.#memory.map(this.#path, {
      ...this.#options,
      ...(size === undefined ? {} : { size }),
      ...(rest > room ? { length: room } : {}),
      offset: this.#mapped,
      at: this.#mapped,
    });
    this.#mapped += map.size;
  }

  /** Makes a log of a new file, even if an earlier attempt was interrupted. */
  #prepare(path: string): void {
    const cannot = `Cannot open ${path} as a log as`;
    if (this.#mapped < RECORDS) {
      throw new Error(`${cannot} it has less than ${RECORDS} bytes`);
    }
    if (this.#newest() !== undefined) return;
    const header = new Uint8Array(RECORDS);
    header.set(SIGNATURE);
    header.set(encode({ change: 0n, used: 0 }), SLOTS[0]);
    const found = this.#read(0, Math.min(this.#mapped, BLANK));
    if (!found.every((byte, i) => byte === 0 || byte === header[i])) {
      throw new Error(`${cannot} it is something else, or damaged`);
    }
    if (!this.#options.write) {
      throw new Error(`${cannot} it has yet to be made`);
    }
    this.#memory.write(header);
  }

  /** Reads the current state. Another process may have made the file larger. */
  #state(): State {
    const state = this.#newest();
    const end = RECORDS + (state?.used ?? Infinity);
    if (end > this.#memory.size && state !== undefined) {
      throw new Error(
        `Cannot use the log as it has grown past its limit of ${this.#limit} bytes`,
      );
    }
    if (end > this.#mapped && end <= this.#file.statSync().size) {
      this.#mapRest();
    }
    if (state !== undefined && end <= this.#mapped) return state;
    throw new Error("Cannot use the log as it is damaged");
  }

  #newest(): State | undefined {
    const header = this.#read(0, RECORDS);
    if (!SIGNATURE.every((byte, i) => byte === header[i])) return undefined;
    return SLOTS.map((at) => decode(header.subarray(at, at + SLOT_SIZE)))
      .filter((state) => state !== undefined)
      .sort((a, b) => a.change < b.change ? 1 : -1)[0];
  }

  /**
   * Writes to the slot of the older state. A copy is not atomic, not even one of
   * 8 bytes: if this one is interrupted, the newer state is still valid.
   */
  #advance(state: State): void {
    this.#memory.write(encode(state), SLOTS[Number(state.change % 2n)]);
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

/** Encodes records as they are stored from an offset on. */
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

/** Depends on the offset, so that bytes that were moved are not taken for a record. */
function checksum(record: Uint8Array, offset: number): number {
  return crc32(record, offset % 2 ** 32);
}
