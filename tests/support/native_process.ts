/**
 * What the kernel and libc say about this process, and what libpmem2 itself
 * says about a reservation: the other side of what the module believes.
 *
 * @module
 */

import { libraryInfo } from "@pmem2/pmem2";

type Native = ReturnType<typeof open>;

/** libpmem2 and libc through a handle of their own. */
function open() {
  return Deno.dlopen(libraryInfo().path, {
    pthread_key_create: { parameters: ["buffer", "u64"], result: "i32" },
    pthread_key_delete: { parameters: ["u32"], result: "i32" },
    mmap: {
      parameters: ["u64", "u64", "i32", "i32", "i32", "i64"],
      result: "u64",
    },
    munmap: { parameters: ["u64", "u64"], result: "i32" },
    mprotect: { parameters: ["u64", "u64", "i32"], result: "i32" },
    mallopt: { parameters: ["i32", "i32"], result: "i32" },
    malloc: { parameters: ["u64"], result: "u64" },
    free: { parameters: ["u64"], result: "void" },
    memset: { parameters: ["u64", "i32", "u64"], result: "u64" },
    memmove: { parameters: ["buffer", "u64", "u64"], result: "u64" },
    setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    signal: { parameters: ["i32", "u64"], result: "u64" },
    memcmp: { parameters: ["u64", "buffer", "u64"], result: "i32" },
    pmem2_map_get_address: { parameters: ["u64"], result: "u64" },
    pmem2_map_get_size: { parameters: ["u64"], result: "u64" },
    pmem2_vm_reservation_get_address: { parameters: ["u64"], result: "u64" },
    pmem2_vm_reservation_get_size: { parameters: ["u64"], result: "u64" },
    pmem2_vm_reservation_map_find_first: {
      parameters: ["u64", "buffer"],
      result: "i32",
    },
    pmem2_vm_reservation_map_find_next: {
      parameters: ["u64", "u64", "buffer"],
      result: "i32",
    },
  }).symbols;
}

let symbols: Native | undefined;

/** The functions themselves. */
export function native(): Native {
  return symbols ??= open();
}

/** How many pthread keys nobody uses; a process has 1,024. */
export function freeKeys(): number {
  const { pthread_key_create, pthread_key_delete } = native();
  const key = new Uint32Array(new ArrayBuffer(128));
  const keys: number[] = [];
  while (pthread_key_create(key, 0n) === 0) keys.push(key[0]!);
  for (const key of keys) pthread_key_delete(key);
  return keys.length;
}

/** One line of /proc/self/maps. */
export interface Mapping {
  readonly from: bigint;
  readonly to: bigint;
  /** Such as "rw-p". */
  readonly flags: string;
  readonly path: string;
}

/** What is mapped in this process, in address order. */
export function mappings(): Mapping[] {
  const text = Deno.readTextFileSync("/proc/self/maps");
  const lines = text.matchAll(/^(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)$/gm);
  return [...lines].map(([, from, to, flags, path]) => ({
    from: BigInt(`0x${from}`),
    to: BigInt(`0x${to}`),
    flags: flags!,
    path: path!,
  }));
}

/** What is mapped at an address, if anything is. */
export function mappingAt(address: bigint): Mapping | undefined {
  return mappings().find(({ from, to }) => from <= address && address < to);
}

/** Bytes of a range that are mapped. */
export function mappedBytes(address: bigint, size: bigint): bigint {
  const end = address + size;
  let bytes = 0n;
  for (const { from, to } of mappings()) {
    const [low, high] = [from > address ? from : address, to < end ? to : end];
    if (high > low) bytes += high - low;
  }
  return bytes;
}

/** A figure of /proc/self/status in KiB, such as "VmRSS". */
export function memory(figure: "VmSize" | "VmRSS"): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Number(new RegExp(`^${figure}:\\s+(\\d+) kB$`, "m").exec(status)![1]);
}

/** How many descriptors are open, without the one that this takes. */
export function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** The descriptors of files in a directory, also of such as were removed. */
export function descriptorsIn(directory: string): string[] {
  const names: string[] = [];
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      const target = Deno.readLinkSync(`/proc/self/fd/${name}`);
      if (target.startsWith(`${directory}/`)) names.push(target);
    } catch {
      // The one that the directory was read through.
    }
  }
  return names;
}

/**
 * Lets no file grow past a size from now on: EFBIG. That can't be taken back
 * without privileges, so it's for processes of their own.
 */
export function limitFileSize(bytes: number): void {
  const RLIMIT_FSIZE = 1, SIGXFSZ = 25, SIG_IGN = 1n;
  // Past the limit the kernel sends a signal first, which ends the process.
  native().signal(SIGXFSZ, SIG_IGN);
  const limit = new BigUint64Array(new ArrayBuffer(128)).fill(BigInt(bytes));
  if (native().setrlimit(RLIMIT_FSIZE, limit) !== 0) {
    throw new Error("Cannot set RLIMIT_FSIZE");
  }
}

/**
 * Has malloc take memory in advance, for where there is none: V8 compiles in it, and
 * ends the process if it gets none.
 */
export function stockUp(): void {
  const { mallopt, malloc, free } = native();
  const [M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD] = [-1, -2, -3];
  mallopt(M_MMAP_THRESHOLD, 2 ** 25);
  mallopt(M_TRIM_THRESHOLD, 2 ** 30);
  mallopt(M_TOP_PAD, 2 ** 26);
  free(malloc(2n ** 24n));
}

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FIXED_NOREPLACE = 0x100000;

/**
 * Memory that belongs to somebody else, filled with a byte: to see whether it
 * stays as it is.
 */
export class ForeignMemory implements Disposable {
  readonly address: bigint;
  readonly size: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  /** At an address that must be free, or anywhere. */
  constructor(size: number, address: bigint | null = null, byte = 0xa5) {
    const { mmap, memset } = native();
    const flags = address === null
      ? MAP_PRIVATE_ANONYMOUS
      : MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE;
    const got = mmap(
      address ?? 0n,
      BigInt(size),
      PROT_READ_WRITE,
      flags,
      -1,
      0n,
    );
    if (address !== null && got !== address) {
      throw new Error(`Cannot get ${size} bytes at ${address}`);
    }
    memset(got, byte, BigInt(size));
    this.address = got;
    this.size = size;
    this.#bytes = new Uint8Array(new ArrayBuffer(size)).fill(byte);
  }

  /** Whether all of it is still there and as it was. */
  get intact(): boolean {
    const { address, size } = this;
    const here = mappings().some(({ from, to, flags }) =>
      from <= address && to >= address + BigInt(size) && flags === "rw-p"
    );
    return here && native().memcmp(address, this.#bytes, BigInt(size)) === 0;
  }

  [Symbol.dispose](): void {
    native().munmap(this.address, BigInt(this.size));
  }
}

/** Addresses from which `size` bytes are free, a multiple of `alignment`. */
export function freeAddress(size: number, alignment: number): bigint {
  const { mmap, munmap } = native();
  const [whole, step] = [BigInt(size + 2 * alignment), BigInt(alignment)];
  const found = mmap(0n, whole, 0, MAP_PRIVATE_ANONYMOUS, -1, 0n);
  munmap(found, whole);
  return (found + step) & -step;
}

/** A map as libpmem2 tells it. */
export interface NativeMap {
  readonly handle: bigint;
  readonly address: bigint;
  readonly size: number;
}

/** libpmem2's own walk over a reservation. */
export function nativeMaps(reservation: bigint): NativeMap[] {
  const c = native();
  const cell = new BigUint64Array(new ArrayBuffer(128));
  const maps: NativeMap[] = [];
  let result = c.pmem2_vm_reservation_map_find_first(reservation, cell);
  while (result === 0) {
    const handle = cell[0]!;
    maps.push({
      handle,
      address: c.pmem2_map_get_address(handle),
      size: Number(c.pmem2_map_get_size(handle)),
    });
    result = c.pmem2_vm_reservation_map_find_next(reservation, handle, cell);
  }
  return maps;
}
