import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";
import { freeKeys, mappings } from "./support/native_process.ts";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

/** A worker that runs one program, and what it answers. */
class Helper implements Disposable {
  readonly #file = Deno.makeTempFileSync({ suffix: ".js" });
  readonly #worker: Worker;

  constructor(program: string) {
    Deno.writeTextFileSync(
      this.#file,
      `import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
      self.onmessage = async ({ data }) => {
        try {
          self.postMessage(await (${program})(data));
        } catch (error) {
          self.postMessage({ error: String(error) });
        }
      };`,
    );
    this.#worker = new Worker(new URL(`file://${this.#file}`), {
      type: "module",
    });
  }

  ask(data: unknown): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    this.#worker.postMessage(data);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
    Deno.removeSync(this.#file);
  }
}

Deno.test("workers map, persist and close at once, each its own file", async () => {
  using scratch = new Scratch();
  const helpers = [1, 2, 3].map(() =>
    new Helper(`async ({ path, id, rounds }) => {
      using reservation = new Pmem2VmReservation(2 ** 21);
      for (let i = 0; i < rounds; i++) {
        using map = Pmem2Map.open(path);
        map.fill(id, 0, map.size);
        map.persist();
        const inside = [0, 1, 2].map(() => reservation.map(path));
        await inside[i % 3].persistAsync();
        for (const [n, walked] of [...reservation].entries()) {
          if (walked !== inside[n]) throw new Error("another map");
          walked.bytes.fill(id);
          walked.close();
        }
        if (new Uint8Array(map.bytes).some((byte) => byte !== id)) {
          throw new Error("another worker's bytes");
        }
      }
      return id;
    }`)
  );
  try {
    const before = Deno.cwd();
    const answers = helpers.map((helper, i) =>
      helper.ask({
        path: scratch.file(`${i}`, 3 * PAGE),
        id: i + 1,
        rounds: 200,
      })
    );
    // The main one, too.
    const path = scratch.file("main", PAGE);
    for (let i = 0; i < 200; i++) {
      using map = Pmem2Map.open(path);
      map.fill(9);
      map.persist();
      await map.persistAsync();
    }
    assertEquals(await Promise.all(answers), [1, 2, 3]);
    assertEquals(Deno.cwd(), before);
    for (const i of [0, 1, 2]) {
      assertEquals(
        Deno.readFileSync(scratch.path(`${i}`)),
        new Uint8Array(3 * PAGE).fill(i + 1),
      );
    }
  } finally {
    for (const helper of helpers) helper[Symbol.dispose]();
  }
});

Deno.test("two workers see each other's stores to one file", async () => {
  using scratch = new Scratch();
  const path = scratch.file("file", PAGE);
  using helper = new Helper(`(path) => {
    using map = Pmem2Map.open(path);
    const words = new Int32Array(map.buffer);
    for (let i = 0; i < 10_000; i++) Atomics.add(words, 0, 1);
    return words[1];
  }`);
  using map = Pmem2Map.open(path);
  const words = new Int32Array(map.buffer);
  words.fill(0);
  words[1] = 42;
  const answer = helper.ask(path);
  for (let i = 0; i < 10_000; i++) Atomics.add(words, 0, 1);
  assertEquals(await answer, 42);
  assertEquals(words[0], 20_000);
});

Deno.test("a map doesn't travel to a worker, and is whole where it was", async () => {
  using source = Pmem2Source.anonymous(PAGE);
  using map = Pmem2Map.from(source);
  using reservation = new Pmem2VmReservation(PAGE);
  using helper = new Helper(`(objects) => objects.map((object) => {
    const results = [object instanceof Pmem2Map];
    for (const use of [
      () => Pmem2Map.prototype.fill.call(object, 1),
      () => Pmem2Map.from(object),
      () => new Pmem2VmReservation(4096).findNext(object),
    ]) {
      try { use(); results.push("no error"); } catch (error) { results.push(error.name); }
    }
    return results.join();
  })`);
  assertEquals(
    await helper.ask([map, source, reservation]),
    Array(3).fill("false,TypeError,TypeError,TypeError"),
  );
  map.fill(7);
  assertEquals(map.bytes[PAGE - 1], 7);
  // A copy of the bytes does.
  map.bytes.fill(5);
  using reader = new Helper("(bytes) => bytes[0]");
  assertEquals(await reader.ask(map.bytes.slice()), 5);
  assertThrows(
    () => reservation.findNext(structuredClone(map)),
    TypeError,
    "a Pmem2Map",
  );
});

Deno.test("many workers that come and go leave nothing but their own", async () => {
  using scratch = new Scratch();
  const path = scratch.file("file", PAGE);
  const once = async () => {
    using helper = new Helper(`(path) => {
      using reservation = new Pmem2VmReservation(2 ** 21);
      using map = reservation.map(path);
      map.bytes.fill(1);
      map.persist();
      return "done";
    }`);
    assertEquals(await helper.ask(path), "done");
  };
  await once();
  const keys = freeKeys();
  for (let i = 0; i < 20; i++) await once();
  assertEquals(freeKeys(), keys);
  assertEquals(mappings().filter(({ path: file }) => file === path), []);
});
