/**
 * Native code that is not this module's and works on the same reservation.
 *
 * @module
 */

import { libraryInfo, type Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals } from "@std/assert";

const PROT_READ = 2 ** 30;
const PROT_WRITE = 2 ** 31;
const PAGE_GRANULARITY = 2;

/** The same library through a handle of its own. */
function open() {
  return Deno.dlopen(libraryInfo().path, {
    pmem2_source_from_anon: { parameters: ["buffer", "u64"], result: "i32" },
    pmem2_source_delete: { parameters: ["buffer"], result: "i32" },
    pmem2_config_new: { parameters: ["buffer"], result: "i32" },
    pmem2_config_delete: { parameters: ["buffer"], result: "i32" },
    pmem2_config_set_required_store_granularity: {
      parameters: ["u64", "u32"],
      result: "i32",
    },
    pmem2_config_set_protection: { parameters: ["u64", "u32"], result: "i32" },
    pmem2_config_set_vm_reservation: {
      parameters: ["u64", "u64", "u64"],
      result: "i32",
    },
    pmem2_map_new: { parameters: ["buffer", "u64", "u64"], result: "i32" },
    pmem2_map_delete: { parameters: ["buffer"], result: "i32" },
    open: { parameters: ["buffer", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    mmap: {
      parameters: ["u64", "u64", "i32", "i32", "i32", "i64"],
      result: "u64",
    },
    munmap: { parameters: ["u64", "u64"], result: "i32" },
  });
}

/** Makes maps in a reservation behind the module's back, and deletes them. */
export class ForeignCode implements Disposable {
  readonly #library = open();
  readonly #maps = new Set<bigint>();

  /** Maps anonymous memory; its `struct pmem2_map *`. */
  map(
    reservation: Pmem2VmReservation,
    at: number,
    size: number,
    { read = true, write = true }: { read?: boolean; write?: boolean } = {},
  ): bigint {
    const c = this.#library.symbols;
    const [source, config, map] = [cell(), cell(), cell()];
    const steps = [
      () => c.pmem2_source_from_anon(source, BigInt(size)),
      () => c.pmem2_config_new(config),
      () =>
        c.pmem2_config_set_required_store_granularity(
          config[0]!,
          PAGE_GRANULARITY,
        ),
      () =>
        c.pmem2_config_set_protection(
          config[0]!,
          (read ? PROT_READ : 0) + (write ? PROT_WRITE : 0),
        ),
      () =>
        c.pmem2_config_set_vm_reservation(
          config[0]!,
          reservation.unsafeHandle,
          BigInt(at),
        ),
      () => c.pmem2_map_new(map, config[0]!, source[0]!),
      () => c.pmem2_config_delete(config),
      () => c.pmem2_source_delete(source),
    ];
    for (const step of steps) assertEquals(step(), 0);
    this.#maps.add(map[0]!);
    return map[0]!;
  }

  /** Deletes a map that it made. */
  delete(map: bigint): void {
    const pointer = cell();
    pointer[0] = map;
    assertEquals(this.#library.symbols.pmem2_map_delete(pointer), 0);
    this.#maps.delete(map);
  }

  /** open(2); the caller closes the descriptor. */
  open(path: string, flags: number): number {
    const text = new TextEncoder().encode(`${path}\0`.padEnd(80, "\0"));
    const fd = this.#library.symbols.open(text, flags);
    assertEquals(fd >= 0, true, path);
    return fd;
  }

  /** close(2). */
  close(fd: number): void {
    assertEquals(this.#library.symbols.close(fd), 0);
  }

  /** Takes a free range of addresses, inaccessible; whether it got just that. */
  take(address: bigint, size: number): boolean {
    const MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE = 0x100022;
    const { mmap } = this.#library.symbols;
    return mmap(
      address,
      BigInt(size),
      0,
      MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE,
      -1,
      0n,
    ) === address;
  }

  /** munmap(2). */
  release(address: bigint, size: number): void {
    assertEquals(this.#library.symbols.munmap(address, BigInt(size)), 0);
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps) this.delete(map);
    this.#library.close();
  }
}

/** Where C writes a pointer; not so small that V8 would move it. */
function cell(): BigUint64Array<ArrayBuffer> {
  return new BigUint64Array(new ArrayBuffer(128));
}
