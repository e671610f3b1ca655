import type { Granularity } from "../../mod.ts";

/** The machine that the tool in emulated/ boots, as its tests see it. */
export interface PersistentMemory {
  /** A folder on ext4 with DAX. */
  readonly fsdax: string;
  /** A folder on ext4 on a disk. */
  readonly ext4: string;
  /** The device that can be mapped. */
  readonly devdax: string;
  /** The block device below `fsdax`. */
  readonly pmem: string;
  /** What fsdax and devdax give. */
  readonly granularity: Granularity;
}

const machine = describe();

function describe(): PersistentMemory | null {
  const fsdax = Deno.env.get("PMEM_DIR");
  if (fsdax === undefined) return null;
  const get = (name: string) => {
    const value = Deno.env.get(name);
    if (!value) throw new Error(`${name} must be set with PMEM_DIR`);
    return value;
  };
  return {
    fsdax,
    ext4: get("PMEM_DISK_DIR"),
    devdax: get("PMEM_DEVDAX"),
    pmem: get("PMEM_DEVICE"),
    granularity: get("PMEM_GRANULARITY") as Granularity,
  };
}

/** A test that needs persistent memory; ignored, with the reason, elsewhere. */
export function testOnPersistentMemory(
  name: string,
  test: (machine: PersistentMemory) => void | Promise<void>,
): void {
  if (machine === null) {
    Deno.test.ignore(`${name} [needs deno task test:emulated]`, () => {});
  } else {
    Deno.test(name, () => test(machine));
  }
}

/** A folder for a test's files that goes away with it. */
export function scratchFolder(
  parent: string,
): Disposable & { path(name: string): string } {
  const folder = Deno.makeTempDirSync({ dir: parent });
  return {
    path: (name) => `${folder}/${name}`,
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

/** The text of a file of sysfs. */
export function readAttribute(path: string): string {
  return Deno.readTextFileSync(path).trim();
}
