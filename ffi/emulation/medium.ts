/**
 * An emulated medium: a directory, and what is durable in its files that are mapped.
 *
 * @module
 */

import { copyIn, copyWithin } from "../c/copy.ts";
import { loaderFunctions } from "../c/library.ts";
import { add } from "../c/pointer.ts";
import { BYTE } from "../input/granularity.ts";
import type { MapSettings } from "../input/map_options.ts";
import { NODRAIN, NOFLUSH } from "../input/store_options.ts";
import {
  type EmulatedMap,
  type EmulatedPersistence,
  setEmulation,
} from "../native/emulation.ts";
import type { NativeMap } from "../native/map.ts";
import type { NativeSource } from "../native/source.ts";
import { pageSize } from "../process/placement.ts";
import {
  closeDescriptor,
  type FileStatus,
  pathOfDescriptor,
  readChanges,
  reopen,
  statusOfDescriptor,
  statusOfPath,
  writeBlock,
} from "./contents.ts";
import {
  arbitraryFates,
  blocksAfter,
  countUnits,
  keepEarlier,
  KEPT,
  type PendingFile,
  Random,
} from "./fate.ts";
import { type Block, Image } from "./image.ts";
import { FileModel } from "./model.ts";
import { operate, type Operation } from "./operation.ts";

/** The active media. The last one determines the granularity of new maps. */
const media: Medium[] = [];

/** The known files of all media. */
const files = new Map<string, EmulatedFile>();

/** Records what happens, so that it can be replayed. */
export interface Journal {
  tracked(file: EmulatedFile): void;
  changed(
    file: EmulatedFile,
    index: number,
    block: Block,
    durableToo: boolean,
  ): void;
  resized(file: EmulatedFile, size: number): void;
  /** Everything in the file is durable, and nothing is pending. */
  crashed(file: EmulatedFile): void;
  /** A moment at which the power may go. */
  moment(stack: Error): void;
  operated(file: EmulatedFile, operation: Operation): void;
}

/** A file that is, or was, mapped. It is identified by device and inode. */
export class EmulatedFile {
  readonly key: string;
  readonly fd: number;
  medium: Medium | null;
  /** Null if all stores are durable at once and nothing is recorded. */
  model: FileModel | null = null;
  granularity: number;
  readonly maps = new Set<NativeMap>();
  /** Whether maps that are closed now may have stored to it since the last look. */
  #unseen = false;

  constructor(
    key: string,
    fd: number,
    medium: Medium,
    granularity: number,
  ) {
    this.key = key;
    this.fd = fd;
    this.medium = medium;
    this.granularity = granularity;
  }

  get #mapped(): boolean {
    for (const map of this.maps) if (map.traits.writable) return true;
    return this.#unseen;
  }

  /** Starts to track the file, whose contents count as durable. */
  start(path: string | null = null): FileModel {
    if (this.model === null) {
      const expected = path === null ? null : this.medium!.expected(path);
      const { size } = statusOfDescriptor(this.fd);
      const image = expected?.image.copy() ?? new Image(size);
      this.model = new FileModel(
        this.granularity,
        image.copy(),
        image,
        pageSize(),
      );
      if (!expected?.sure) this.#look(0, Infinity, true, null);
      this.medium?.journal?.tracked(this);
    }
    this.model.granularity = this.granularity;
    return this.model;
  }

  /**
   * Looks for stores since the last time, which are not durable. What was written while
   * there was no map is durable.
   *
   * @param storing Whether a store to this file was just interrupted. Then a part of it may
   * be missing, even at byte granularity.
   */
  look(from = 0, to = Infinity, storing = false): void {
    const durable = this.granularity === BYTE && !storing;
    this.#look(from, to, durable || !this.#mapped);
  }

  #look(
    from: number,
    to: number,
    durableToo: boolean,
    journal = this.medium?.journal ?? null,
  ): void {
    const { model } = this;
    if (model === null) return;
    const { size } = statusOfDescriptor(this.fd);
    if (size !== model.memory.size) {
      model.resize(size);
      journal?.resized(this, size);
    }
    readChanges(this.fd, model.memory, from, to, (index, block) => {
      model.change(index, block, durableToo);
      journal?.changed(this, index, block, durableToo);
    });
  }

  add(map: NativeMap): void {
    this.maps.add(map);
  }

  /** Removes a map that is closed, or null if it could not be made. */
  remove(map: NativeMap | null): void {
    const { medium } = this;
    const crashing = medium === null || medium.crashing;
    if (!crashing) {
      // Before the map is removed.
      if (medium.hasty) this.#unseen = true;
      else this.look();
    }
    if (map !== null) this.maps.delete(map);
    if (crashing || medium.hasty || medium.journal !== null) return;
    if (this.maps.size > 0) return;
    if (this.model === null || this.model.pending().length === 0) this.forget();
  }

  /** Records that the stores of closed maps have been seen. */
  seen(): void {
    this.#unseen = false;
  }

  /** Stops tracking the file. */
  forget(): void {
    if (this.medium === null) return;
    this.medium.files.delete(this);
    this.medium = null;
    this.model = null;
    files.delete(this.key);
    closeDescriptor(this.fd);
  }
}

/** The medium that `emulatePmem` makes. */
export class Medium {
  readonly granularity: number;
  /** The path of the directory, without links. */
  readonly directory: string;
  readonly files = new Set<EmulatedFile>();
  journal: Journal | null = null;
  /** Whether a power cut is closing the maps. */
  crashing = false;
  /** PERF: whether what is pending is determined later, not when a map is closed. */
  hasty = false;
  /** Returns the expected contents of a file that is not mapped yet, and whether they are certain. */
  expected: (path: string) => { image: Image; sure: boolean } | null = () =>
    null;

  constructor(granularity: number, directory: string) {
    this.granularity = granularity;
    this.directory = directory;
    media.push(this);
    setEmulation(emulate);
  }

  contains(path: string | null): boolean {
    return path !== null && path.startsWith(`${this.directory}/`);
  }

  /** Lists the models of all files of the medium. */
  *models(): Generator<FileModel> {
    for (const { model } of this.files) if (model !== null) yield model;
  }

  /** Looks at all files. A store to one of them may just have been interrupted. */
  look(storing?: EmulatedFile): void {
    for (const file of this.files) file.look(0, Infinity, file === storing);
  }

  /** Makes everything in the files durable. */
  settle(): void {
    this.look();
    for (const model of this.models()) model.settle();
  }

  /** Records everything that happens from now on; null ends the record. */
  record(journal: Journal | null): void {
    this.journal = journal;
    if (journal === null) return;
    for (const file of this.files) {
      if (file.model === null) file.start();
      else journal.tracked(file);
    }
  }

  /** Lists the maps that a power cut would close. */
  maps(): NativeMap[] {
    return this.#affected().flatMap((file) => [...file.maps]);
  }

  /** Lists the files of this medium, and those of a medium inside of its directory. */
  #affected(): EmulatedFile[] {
    return [...files.values()].filter((file) =>
      file.medium === this || this.contains(pathOfDescriptor(file.fd))
    );
  }

  /** Cuts the power. The caller has checked that all maps can be closed. */
  crash(pending: "lost" | "kept" | number): void {
    const affected = this.#affected();
    for (const file of affected) file.look();
    const list: PendingFile<EmulatedFile>[] = affected.map((file) => ({
      file,
      unit: file.model?.unit ?? 1,
      blocks: file.model?.pending() ?? [],
    }));
    const count = countUnits(list);
    let fates: Uint8Array = new Uint8Array(count);
    if (pending === "kept") {
      fates.fill(KEPT);
    } else if (pending !== "lost") {
      const random = new Random(pending);
      fates = arbitraryFates(count, pending, random);
      keepEarlier(list, fates, random);
    }
    const after = blocksAfter(list, fates);
    this.closeMaps();
    for (const { file, blocks } of list) {
      const changed = after.get(file)!;
      for (const { index, durable, memory } of blocks) {
        const block = changed.get(index) ?? durable;
        const size = file.model!.memory.size;
        if (block !== memory) writeBlock(file.fd, index, block, size);
      }
      if (this.journal === null) {
        file.forget();
      } else {
        file.look();
        file.model!.settle();
        this.journal.crashed(file);
      }
    }
  }

  /** Closes the maps of the files, without looking at what was stored. */
  closeMaps(which: (map: NativeMap) => boolean = () => true): void {
    this.crashing = true;
    try {
      for (const file of this.#affected()) {
        for (const map of file.maps) if (which(map)) map.delete();
        file.seen();
      }
    } finally {
      this.crashing = false;
    }
  }

  /** Stops tracking all files. Their maps stay open. */
  forgetFiles(): void {
    for (const file of this.files) file.forget();
  }

  /** Whether the emulation was disposed of. */
  get ended(): boolean {
    return !media.includes(this);
  }

  end(): void {
    media.splice(media.indexOf(this), 1);
    this.forgetFiles();
    if (media.length === 0) setEmulation(null);
  }
}

/** Returns the emulated medium of a new map. */
function emulate(
  source: NativeSource,
  settings: MapSettings,
): EmulatedMap {
  const { granularity } = media.at(-1)!;
  const file = fileOf(source.descriptor, granularity);
  return file === null
    ? new Elsewhere(granularity)
    : new MapOfFile(file, granularity, settings.offset);
}

/** Returns the file of a descriptor, or null if it is in none of the directories. */
function fileOf(fd: number, granularity: number): EmulatedFile | null {
  const status = statusOfDescriptor(fd);
  let file = files.get(status.key);
  if (file === undefined) {
    const path = pathOfDescriptor(fd);
    const medium = mediumOf(path, status);
    if (medium === null) return null;
    file = new EmulatedFile(status.key, reopen(fd), medium, granularity);
    files.set(status.key, file);
    medium.files.add(file);
    if (granularity !== BYTE || medium.journal !== null) {
      file.start(path);
    }
  } else {
    file.granularity = granularity;
    if (file.model !== null) file.look();
    if (granularity !== BYTE) file.start();
  }
  file.seen();
  return file;
}

function mediumOf(path: string | null, status: FileStatus): Medium | null {
  let inner: Medium | null = null;
  for (const medium of media) {
    const longer = inner === null ||
      medium.directory.length > inner.directory.length;
    if (longer && medium.contains(path)) inner = medium;
  }
  if (inner !== null || status.links < 2) return inner;
  return media.find(({ directory }) => hasLink(directory, status.key)) ?? null;
}

/** Whether a directory contains a hard link to the file. */
function hasLink(directory: string, key: string): boolean {
  return Deno.readDirSync(directory).some(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    return isDirectory ? hasLink(path, key) : statusOfPath(path)?.key === key;
  });
}

/** A map of a file outside of the directories. The real medium makes stores durable. */
class Elsewhere implements EmulatedMap {
  readonly granularity: number;
  readonly persistence = null;

  constructor(granularity: number) {
    this.granularity = granularity;
  }

  opened(): void {}
  closed(): void {}
}

/** Resolves later, in the order of the calls, however busy the machine is. */
async function later(): Promise<void> {
  // Later than code that awaits a promise that is already resolved.
  for (let i = 0; i < 8; i++) await undefined;
}

const once = new Set([null]);
const forEach = once.forEach.bind(once);

/**
 * Calls a function in a way that V8 does not inline.
 *
 * PERF: V8 inlines a limited amount of code, and the code of the emulation would take the
 * place of that of ordinary maps. In a process that has had an emulation, their persist
 * would take 18.6 ns. With this it takes 14.2 ns, as in other processes; a write of 64
 * bytes still takes 46 to 57 ns instead of 38 (Deno 2.9.6).
 */
function apart(call: () => void): void {
  forEach(call);
}

/** A map of a file in the directory of an emulation. */
class MapOfFile implements EmulatedMap, EmulatedPersistence {
  readonly granularity: number;
  readonly persistence = this;
  readonly #file: EmulatedFile;
  readonly #offset: number;
  #map: NativeMap | null = null;

  constructor(file: EmulatedFile, granularity: number, offset: number) {
    this.#file = file;
    this.granularity = granularity;
    this.#offset = offset;
  }

  opened(map: NativeMap): void {
    this.#map = map;
    this.#file.add(map);
  }

  closed(): void {
    this.#file.remove(this.#map);
  }

  #range(address: bigint, size: bigint): { from: number; to: number } {
    const from = this.#offset + Number(address - this.#map!.address);
    return { from, to: from + Number(size) };
  }

  /** Does an operation. None of the caller's code runs here: V8 formats the stack later. */
  #operate(
    operation: Operation,
    { stack, storing = false }: { stack?: Error; storing?: boolean } = {},
  ): void {
    const file = this.#file;
    const { medium } = file;
    if (medium === null) return;
    const { journal } = medium;
    if (journal !== null) {
      medium.look(storing ? file : undefined);
      if (operation.kind !== "begin") journal.moment(stack ?? stackHere());
      journal.operated(file, operation);
    } else if ("from" in operation) {
      const { from, to } = operation;
      const page = pageSize();
      file.look(from - from % page, to + page);
    }
    if (file.model !== null) operate(operation, file.model, medium.models());
  }

  persist(address: bigint, size: bigint): void {
    apart(() =>
      this.#operate({ kind: "persist", ...this.#range(address, size) })
    );
  }

  flush(address: bigint, size: bigint): void {
    apart(() =>
      this.#operate({ kind: "flush", ...this.#range(address, size) })
    );
  }

  drain(): void {
    apart(() => this.#operate({ kind: "drain" }));
  }

  deepFlush(address: bigint, size: bigint): void {
    apart(() =>
      this.#operate({ kind: "deepFlush", ...this.#range(address, size) })
    );
  }

  persistAsync(address: bigint, size: bigint): Promise<void> {
    return this.#flushLater(address, size, true);
  }

  deepFlushAsync(address: bigint, size: bigint): Promise<void> {
    return this.#flushLater(address, size, false);
  }

  async #flushLater(
    address: bigint,
    size: bigint,
    drains: boolean,
  ): Promise<void> {
    const stack = stackHere();
    const ticket = {};
    this.#operate({ kind: "begin", ...this.#range(address, size), ticket });
    await later();
    this.#operate({ kind: "end", ticket, drains }, { stack });
  }

  write(
    memory: { readonly address: bigint },
    offset: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ): void {
    apart(() => {
      const address = add(memory.address, offset);
      this.#beforeStore();
      copyIn(address, data, length);
      this.#stored(address, length, flags);
    });
  }

  move(
    memory: { readonly address: bigint },
    target: number,
    source: number,
    length: number,
    flags: number,
  ): void {
    apart(() => {
      const to = add(memory.address, target);
      this.#beforeStore();
      copyWithin(to, add(memory.address, source), length);
      this.#stored(to, length, flags);
    });
  }

  fill(
    memory: { readonly address: bigint },
    offset: number,
    value: number,
    length: number,
    flags: number,
  ): void {
    apart(() => {
      const address = add(memory.address, offset);
      this.#beforeStore();
      // −0 passes as a byte, but is not an i32.
      loaderFunctions().memset(address, value | 0, BigInt(length));
      this.#stored(address, length, flags);
    });
  }

  /** Records that earlier stores are durable at byte granularity, unlike the next store. */
  #beforeStore(): void {
    const { medium, granularity } = this.#file;
    if (granularity === BYTE && medium?.journal) medium.look();
  }

  #stored(address: bigint, length: number, flags: number): void {
    const storing = true;
    if ((flags & NOFLUSH) !== 0) {
      if (this.#file.granularity === BYTE) {
        this.#operate({ kind: "store" }, { storing });
      }
      return;
    }
    const kind = (flags & NODRAIN) !== 0 ? "flush" : "persist";
    const range = this.#range(address, BigInt(length));
    this.#operate({ kind, ...range }, { storing });
  }
}

const { captureStackTrace } = Error;
const { set: setProperty } = Reflect;

/** Captures the stack of the caller. V8 formats it when it is read. */
function stackHere(): Error {
  const limit = Error.stackTraceLimit;
  setProperty(Error, "stackTraceLimit", 30);
  const error = new Error();
  captureStackTrace(error, stackHere);
  setProperty(Error, "stackTraceLimit", limit);
  return error;
}
